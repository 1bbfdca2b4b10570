-- +goose Up

-- The part of a quantity that invoices charge: counted while its metric had a price and its tenant had to pay.
ALTER TABLE usage_totals ADD COLUMN chargeable numeric NOT NULL DEFAULT 0;

-- What Stripe knows of a tenant's use, beside what the rest of Tenure was told.
ALTER TABLE usage_reports
    -- How often the tenant has begun anew, with nothing used.
    ADD COLUMN life            bigint      NOT NULL DEFAULT 0,
    -- How often use with a price was counted, and up to which time of these Stripe knows it.
    ADD COLUMN counted         bigint      NOT NULL DEFAULT 0,
    ADD COLUMN invoiced        bigint      NOT NULL DEFAULT 0,
    -- The subscription and the end of its period for which Stripe knows it.
    ADD COLUMN subscription_id text        NOT NULL DEFAULT '',
    ADD COLUMN period_end      timestamptz,
    ADD COLUMN tried_at        timestamptz NOT NULL DEFAULT '-infinity';

-- The metered items of subscriptions, each in the billing period that is told its use.
CREATE TABLE usage_items (
    item_id         text        PRIMARY KEY,
    tenant          text        NOT NULL,
    life            bigint      NOT NULL,
    metric          text        NOT NULL,
    subscription_id text        NOT NULL,
    period_start    timestamptz NOT NULL,
    period_end      timestamptz NOT NULL,
    included        float8      NOT NULL,
    -- The total that was sent last, its number and what became of it.
    quantity        bigint      NOT NULL,
    attempt         bigint      NOT NULL,
    state           text        NOT NULL,
    -- When Stripe was first seen without the item.
    gone_at         timestamptz
);
CREATE INDEX usage_items_tenant ON usage_items (tenant);

-- What billing periods that are over have taken: by Stripe's word, each once.
CREATE TABLE usage_billed (
    item_id      text        NOT NULL,
    period_end   timestamptz NOT NULL,
    period_start timestamptz NOT NULL,
    tenant       text        NOT NULL,
    life         bigint      NOT NULL,
    metric       text        NOT NULL,
    quantity     bigint      NOT NULL,
    -- What the plan's price covered on top.
    covered      float8      NOT NULL,
    invoice_id   text        NOT NULL,
    PRIMARY KEY (item_id, period_end)
);
CREATE INDEX usage_billed_tenant ON usage_billed (tenant, life, metric);

-- Which shares of which limits tenants were told about, in which month.
CREATE TABLE usage_alerts (
    tenant  text NOT NULL,
    metric  text NOT NULL,
    percent int  NOT NULL,
    period  text NOT NULL,
    PRIMARY KEY (tenant, metric, percent, period)
);

-- The oldest are deleted. Rows come in the order of time, so that an index of a few pages is enough.
CREATE INDEX usage_events_taken ON usage_events USING brin (taken_at);
