-- +goose Up

-- Stripe's id of what a tenant was offered to come back.
ALTER TABLE works ADD COLUMN coupon text NOT NULL DEFAULT '';
