-- +goose Up

-- One row per logical message: an event, a template, a recipient. The row is the promise that it is sent once.
CREATE TABLE messages (
    id             text PRIMARY KEY,
    tenant_id      text NOT NULL,
    template       text NOT NULL,
    facts          jsonb NOT NULL,
    event_id       text NOT NULL,
    correlation_id text NOT NULL,
    -- held: waits for a later event. queued: to be sent. superseded: no longer true, never sent.
    state          text NOT NULL CHECK (state IN ('held', 'queued', 'sent', 'failed', 'superseded')),
    -- Whom to reach, for a message that leaves when the vault has forgotten it already; null for all others, and as
    -- soon as the message has reached its end. The only personal data here.
    contact        jsonb CHECK (contact IS NULL OR state IN ('held', 'queued')),
    attempts       int NOT NULL DEFAULT 0,
    -- When the next try is due. A sender that takes the row moves this ahead: should it die, another takes over then.
    next_try_at    timestamptz NOT NULL DEFAULT now(),
    created_at     timestamptz NOT NULL DEFAULT now(),
    ended_at       timestamptz,
    error          text
);
CREATE INDEX messages_due ON messages (next_try_at) WHERE state = 'queued';
CREATE INDEX messages_open ON messages (tenant_id) WHERE state IN ('held', 'queued');
