-- +goose Up

-- One row per step that the lifecycle asked for. A worker holds a job by its lease: until lease_until, by this server's
-- clock, and only while epoch is the one it was given.
CREATE TABLE jobs (
    tenant_id      text        NOT NULL,
    step_id        text        NOT NULL,
    operation_id   text        NOT NULL,
    operation      text        NOT NULL,
    generation     bigint      NOT NULL,
    action         text        NOT NULL CHECK (action IN ('erase', 'verify', 'certify')),
    -- After it the lifecycle may have turned the operation back: nothing is erased any more. NULL for a purge, which
    -- has no way back.
    deadline       timestamptz,
    -- The request that is answered.
    cause_id       text        NOT NULL,
    cause_version  bigint      NOT NULL,
    correlation_id text        NOT NULL,
    trace_parent   text        NOT NULL,

    status         text        NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'done', 'failed', 'dropped')),
    result         json,
    epoch          bigint      NOT NULL DEFAULT 0,
    lease_until    timestamptz NOT NULL DEFAULT '-infinity',
    run_after      timestamptz NOT NULL DEFAULT '-infinity',
    failures       int         NOT NULL DEFAULT 0,
    error          text        NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, step_id)
);

CREATE INDEX jobs_open ON jobs (run_after) WHERE status = 'open';

-- What each store held at the first look of an operation, and at the last. A participant's row comes from its answers
-- (before is NULL when they tell no counts).
CREATE TABLE erasures (
    tenant_id    text   NOT NULL,
    operation_id text   NOT NULL,
    store        text   NOT NULL,
    before       bigint,
    after        bigint,
    read_at      timestamptz,
    PRIMARY KEY (tenant_id, operation_id, store)
);

-- One row per life of a tenant that is purged: what its certificate says besides the counts.
CREATE TABLE purges (
    tenant_id      text        NOT NULL,
    generation     bigint      NOT NULL,
    operation_id   text        NOT NULL,
    retention_days int         NOT NULL,
    region         text        NOT NULL,
    gdpr           boolean     NOT NULL,
    requested_at   timestamptz NOT NULL,
    scheduled_for  timestamptz NOT NULL,
    started_at     timestamptz NOT NULL,
    participants   text[]      NOT NULL,
    PRIMARY KEY (tenant_id, generation)
);

-- The signed bytes, written before they are copied to the object store: so there is one certificate, whatever fails.
CREATE TABLE certificates (
    tenant_id  text   NOT NULL,
    generation bigint NOT NULL,
    document   bytea  NOT NULL,
    PRIMARY KEY (tenant_id, generation)
);

-- Every key that has ever signed, so that old certificates can be checked after a change of keys.
CREATE TABLE signing_keys (
    key_id     text        PRIMARY KEY,
    public_key bytea       NOT NULL,
    since      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE holds (
    tenant_id text NOT NULL,
    hold_id   text NOT NULL,
    PRIMARY KEY (tenant_id, hold_id)
);

-- Looks for data that came back after a purge. A row is gone when the tenant itself came back.
CREATE TABLE sweeps (
    tenant_id      text        NOT NULL,
    generation     bigint      NOT NULL,
    day            int         NOT NULL,
    due_at         timestamptz NOT NULL,
    cause_id       text        NOT NULL,
    correlation_id text        NOT NULL,
    run_after      timestamptz NOT NULL DEFAULT '-infinity',
    swept_at       timestamptz,
    PRIMARY KEY (tenant_id, generation, day)
);

CREATE INDEX sweeps_due ON sweeps (due_at) WHERE swept_at IS NULL;
