-- +goose Up

-- What campaigns know of each tenant (package campaign, Profile): ids and states, no person.
ALTER TABLE tenants ADD COLUMN profile jsonb NOT NULL DEFAULT '{}';

-- One row per life of a tenant and campaign that has taken it in.
CREATE TABLE enrollments (
    campaign       text        NOT NULL,
    tenant_id      text        NOT NULL,
    generation     bigint      NOT NULL,
    trigger        text        NOT NULL,
    -- The event that was the trigger: what is sent is sent because of it.
    event_id       text        NOT NULL,
    correlation_id text        NOT NULL,
    at             timestamptz NOT NULL,
    variant        text        NOT NULL,
    holdout        boolean     NOT NULL,
    next           int         NOT NULL DEFAULT 0,
    due_at         timestamptz NOT NULL,
    state          text        NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'stopped')),
    reason         text        NOT NULL DEFAULT '',
    -- When the tenant was found not to be lost any more, by a campaign's doing or not, and on which plan.
    returned_at    timestamptz,
    returned_plan  text        NOT NULL DEFAULT '',
    PRIMARY KEY (campaign, tenant_id, generation)
);
CREATE INDEX enrollments_due ON enrollments (due_at) WHERE state = 'running';
CREATE INDEX enrollments_tenant ON enrollments (tenant_id, generation);

-- One row per campaign mail; the mail itself is the message of the same id.
CREATE TABLE campaign_mails (
    id          text        PRIMARY KEY,
    campaign    text        NOT NULL,
    tenant_id   text        NOT NULL,
    generation  bigint      NOT NULL,
    step        text        NOT NULL,
    variant     text        NOT NULL,
    -- What was offered: by its name in the campaign file, at Stripe, in words. Empty: nothing.
    offer       text        NOT NULL DEFAULT '',
    coupon      text        NOT NULL DEFAULT '',
    says        text        NOT NULL DEFAULT '',
    offer_until timestamptz,
    at          timestamptz NOT NULL DEFAULT now(),
    opened_at   timestamptz,
    clicked_at  timestamptz,
    used_at     timestamptz
);
CREATE INDEX campaign_mails_tenant ON campaign_mails (tenant_id, at);
CREATE INDEX campaign_mails_offer ON campaign_mails (offer) WHERE offer <> '';

-- Tenants that get no campaign mails: unsubscribed, bounced, complained.
CREATE TABLE suppressions (
    tenant_id text        PRIMARY KEY,
    reason    text        NOT NULL,
    since     timestamptz NOT NULL DEFAULT now()
);
