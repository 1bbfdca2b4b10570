-- +goose Up

ALTER TABLE messages
    -- owner: the tenant's contact. operator: TENURE_OPERATOR_MAIL.
    ADD COLUMN recipient text NOT NULL DEFAULT 'owner' CHECK (recipient IN ('owner', 'operator')),
    -- The tenant's life that the message is about; 0 where its beginning was never seen.
    ADD COLUMN generation bigint NOT NULL DEFAULT 0,
    -- When the message was meant to leave, whatever delays it; next_try_at is when a sender looks at it next.
    ADD COLUMN due_at timestamptz NOT NULL DEFAULT now(),
    -- From when on the message is not worth sending any more; null: always.
    ADD COLUMN expires_at timestamptz;
UPDATE messages SET due_at = created_at;

-- The present life of each tenant: what is about a former one never leaves.
CREATE TABLE tenants (
    tenant_id  text PRIMARY KEY,
    generation bigint NOT NULL,
    born_at    timestamptz NOT NULL,
    -- Its data is being destroyed, or is.
    gone       boolean NOT NULL DEFAULT false
);
