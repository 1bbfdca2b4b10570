-- +goose Up

-- Messages that could not be handled, with the reason. A row whose tenant is parked keeps its place: those behind it
-- wait in this table too, and replay takes them in order of id.
CREATE TABLE dead_letters (
    id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer            text        NOT NULL,
    stream              text        NOT NULL,
    stream_sequence     bigint      NOT NULL,
    subject             text        NOT NULL,
    type                text        NOT NULL DEFAULT '',
    original_id         text        NOT NULL DEFAULT '',
    -- The ordered stream that is parked ("lifecycle/acme"); empty when others need not wait for this message.
    parked_key          text        NOT NULL DEFAULT '',
    reason              text        NOT NULL,
    error               text        NOT NULL DEFAULT '',
    headers             jsonb       NOT NULL DEFAULT '{}',
    payload             bytea       NOT NULL,
    received_at         timestamptz NOT NULL DEFAULT now(),
    replay_requested_at timestamptz,
    replayed_at         timestamptz,
    -- A redelivery after the row was stored but the ack was lost is the same dead letter.
    UNIQUE (consumer, stream, stream_sequence)
);
CREATE INDEX dead_letters_open ON dead_letters (consumer, parked_key, id) WHERE replayed_at IS NULL;
