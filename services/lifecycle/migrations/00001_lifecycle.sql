-- +goose Up

-- Deadlines, as the state of each tenant asks for them; written in the transaction that changes the state and fired by
-- this database's clock.
CREATE TABLE timers (
    tenant     text        NOT NULL,
    kind       text        NOT NULL,
    due        timestamptz NOT NULL,
    generation bigint      NOT NULL,
    PRIMARY KEY (tenant, kind)
);
CREATE INDEX timers_due ON timers (due);

-- What GET /v1/operations/{id} shows: a projection of the log, kept in the same transaction.
CREATE TABLE operations (
    id         text        PRIMARY KEY,
    tenant     text        NOT NULL,
    kind       text        NOT NULL,
    status     text        NOT NULL,
    view       jsonb       NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX operations_tenant ON operations (tenant);
CREATE INDEX operations_running ON operations (kind) WHERE status IN ('pending', 'running');

-- Who takes part in steps.
CREATE TABLE participants (
    name            text    PRIMARY KEY,
    actions         text[]  NOT NULL,
    needs_drain     boolean NOT NULL DEFAULT false,
    timeout_seconds int     NOT NULL
);

-- What billing told last about a tenant: facts for deciding downgrades, and for showing.
CREATE TABLE billing_facts (
    tenant     text             PRIMARY KEY,
    queries    bigint           NOT NULL DEFAULT 0,
    documents  bigint           NOT NULL DEFAULT 0,
    storage_gb double precision NOT NULL DEFAULT 0,
    -- The calendar month (UTC) that queries are counted in: "2026-11".
    period     text             NOT NULL DEFAULT '',
    period_end timestamptz
);

-- The audit's rare rows must be found without reading all others.
CREATE INDEX log_violations ON log (sequence) WHERE type = 'tenure.lifecycle.compliance.violation.v1';
CREATE INDEX log_funnel ON log (type, stream)
    WHERE type IN ('tenure.lifecycle.tenant.registered.v1', 'tenure.lifecycle.tenant.activated.v1');
