-- +goose Up

-- One row per export that was asked for. A worker holds a job by its lease: until lease_until, by this server's clock,
-- and only while epoch is the one it was given.
CREATE TABLE jobs (
    export_id        text        PRIMARY KEY,
    tenant_id        text        NOT NULL,
    requested_at     timestamptz NOT NULL,
    correlation_id   text        NOT NULL,
    causation_id     text        NOT NULL,
    -- What was asked for: rows since a time, and of some kinds alone; empty is all.
    since            timestamptz,
    include          text[]      NOT NULL DEFAULT '{}',
    status           text        NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'running', 'verifying', 'completed', 'failed', 'cancelled', 'expired')),
    -- Set by the command; the status follows when the worker has stopped and removed what it wrote.
    cancel_requested boolean     NOT NULL DEFAULT false,

    epoch            bigint      NOT NULL DEFAULT 0,
    lease_until      timestamptz NOT NULL DEFAULT '-infinity',
    run_after        timestamptz NOT NULL DEFAULT '-infinity',
    failures         int         NOT NULL DEFAULT 0,
    error            text        NOT NULL DEFAULT '',

    done             bigint      NOT NULL DEFAULT 0,
    total            bigint      NOT NULL DEFAULT 0,
    content_bytes    bigint      NOT NULL DEFAULT 0,

    -- What was uploaded, from status 'verifying' on.
    sha256           text        NOT NULL DEFAULT '',
    bytes            bigint      NOT NULL DEFAULT 0,
    manifest         json,
    expires_at       timestamptz
);

CREATE INDEX jobs_open ON jobs (requested_at) WHERE status IN ('pending', 'running', 'verifying') OR cancel_requested;
CREATE INDEX jobs_expiring ON jobs (expires_at) WHERE status = 'completed';
CREATE INDEX jobs_tenant ON jobs (tenant_id);

-- What audit.ndjson and billing.ndjson are written from: kept from the events as they pass, since no service may ask
-- another. Gone with the tenant's purge.
CREATE TABLE audit (
    tenant_id text        NOT NULL,
    version   bigint      NOT NULL,
    time      timestamptz NOT NULL,
    row       json        NOT NULL,
    PRIMARY KEY (tenant_id, version)
);

CREATE TABLE billing (
    tenant_id text        NOT NULL,
    version   bigint      NOT NULL,
    time      timestamptz NOT NULL,
    row       json        NOT NULL,
    PRIMARY KEY (tenant_id, version)
);

-- The last link of each tenant's hash chain: the next row's hash follows from it. It outlives the purge, as the log does.
CREATE TABLE chains (
    tenant_id text   PRIMARY KEY,
    version   bigint NOT NULL,
    hash      bytea  NOT NULL
);
