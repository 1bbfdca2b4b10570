-- +goose Up

-- One row per link that somebody acted by. The row is the promise that the command is sent: it is published, with the same
-- id, until the bus has it.
CREATE TABLE acts (
    -- The id of the link's token: a link acts once. When its command came to nothing it may be used again.
    id           text        PRIMARY KEY,
    tenant_id    text        NOT NULL,
    -- The campaign's mail that the link came with, when it came with one.
    mail_id      text        NOT NULL,
    -- Who stands in the lifecycle's log.
    actor        text        NOT NULL,
    command_id   text        NOT NULL UNIQUE,
    command_type text        NOT NULL,
    data         jsonb       NOT NULL,
    tries        int         NOT NULL DEFAULT 1,
    -- queued: to be sent. sent: the bus has it. taken: the lifecycle does it. done, refused and failed are ends.
    state        text        NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'taken', 'done', 'refused', 'failed')),
    -- What the lifecycle began because of it, and why nothing came of it.
    operation_id text        NOT NULL DEFAULT '',
    reason       text        NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    ended_at     timestamptz
);
CREATE INDEX acts_queued ON acts (created_at) WHERE state = 'queued';
CREATE INDEX acts_operation ON acts (operation_id) WHERE operation_id <> '';
