-- +goose Up

-- The purge that had the customer deleted at Stripe: nobody asks Stripe about it any more. The id stays: late news of the
-- customer are known by it, and not taken for those of a tenant that is not known yet.
ALTER TABLE accounts ADD COLUMN erased_by text NOT NULL DEFAULT '';
