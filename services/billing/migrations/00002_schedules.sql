-- +goose Up

ALTER TABLE accounts
    -- What the subscription goes over to when its period ends, as it was told.
    ADD COLUMN scheduled_plan text    NOT NULL DEFAULT '',
    -- Billing itself lets the subscription run out, or has ended it. One that vanishes without this is a default.
    ADD COLUMN retired        boolean NOT NULL DEFAULT false;
UPDATE accounts SET retired = cancel_at_period_end OR subscription_id = '';

-- The plan before, as the asker saw it: where a change that is called off leads back to.
ALTER TABLE works ADD COLUMN from_plan text NOT NULL DEFAULT '';

-- The oldest go first.
CREATE INDEX webhook_events_received ON webhook_events (received_at);
