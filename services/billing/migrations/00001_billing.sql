-- +goose Up

-- What is known of each life of a tenant at Stripe, and what the rest of Tenure was told about it. version guards
-- against facts derived from an older look at Stripe than the last one.
CREATE TABLE accounts (
    tenant               text        NOT NULL,
    generation           bigint      NOT NULL,
    customer_id          text        NOT NULL UNIQUE,
    subscription_id      text        NOT NULL DEFAULT '',
    plan                 text        NOT NULL DEFAULT '',
    status               text        NOT NULL DEFAULT '',
    cancel_at_period_end boolean     NOT NULL DEFAULT false,
    current_period_end   timestamptz,
    standing             text        NOT NULL DEFAULT '',
    -- The tenant's life is over: later news of this customer are recorded, never told.
    ended                boolean     NOT NULL DEFAULT false,
    version              bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, generation)
);

-- What billing set out to do at Stripe, written before it is done. Idempotency keys are made of id and try.
CREATE TABLE works (
    tenant          text        NOT NULL,
    -- A step's id, on the way back too, or the id of the event that asked.
    id              text        NOT NULL,
    operation_id    text        NOT NULL,
    generation      bigint      NOT NULL,
    plan            text        NOT NULL,
    changes         text[]      NOT NULL,
    give_back       boolean     NOT NULL,
    -- The subscription and its newest invoice before anything was done: what is newer came of this work.
    subscription_id text        NOT NULL,
    invoice_before  text        NOT NULL,
    try             int         NOT NULL DEFAULT 0,
    tried_at        timestamptz NOT NULL DEFAULT now(),
    done_at         timestamptz,
    failure         text        NOT NULL DEFAULT '',
    PRIMARY KEY (tenant, id)
);
CREATE INDEX works_operation ON works (tenant, operation_id);

-- Stripe's events, by webhook or by poll, each once. Ids alone: payloads hold personal data and go stale.
CREATE TABLE webhook_events (
    event_id        text        PRIMARY KEY,
    type            text        NOT NULL,
    object_id       text        NOT NULL,
    customer_id     text        NOT NULL,
    subscription_id text        NOT NULL,
    created         timestamptz NOT NULL,
    received_at     timestamptz NOT NULL DEFAULT now(),
    -- The customer is nobody's yet: published again when it is somebody's.
    parked          boolean     NOT NULL DEFAULT false
);
CREATE INDEX webhook_events_parked ON webhook_events (customer_id) WHERE parked;

-- How far the poller has read Stripe's list of events, by their time. One row.
CREATE TABLE poll_cursor (
    one     boolean     PRIMARY KEY DEFAULT true CHECK (one),
    created timestamptz NOT NULL
);

-- Every use that was counted: the id decides, not the content.
CREATE TABLE usage_events (
    tenant   text        NOT NULL,
    id       text        NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, id)
);

-- period is the month ("2026-01") of a metric that is counted per month, and empty for a running total.
CREATE TABLE usage_totals (
    tenant   text    NOT NULL,
    metric   text    NOT NULL,
    period   text    NOT NULL,
    quantity numeric NOT NULL,
    PRIMARY KEY (tenant, metric, period)
) WITH (fillfactor = 70);

-- Which tenants' totals changed since they were last told.
CREATE TABLE usage_reports (
    tenant  text        PRIMARY KEY,
    changed boolean     NOT NULL,
    told_at timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 70);
CREATE INDEX usage_reports_changed ON usage_reports (tenant) WHERE changed;
