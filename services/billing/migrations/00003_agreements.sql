-- +goose Up

-- What each tenant should be paying, by the lifecycle's log: written in the transaction that handles each event of it.
CREATE TABLE agreements (
    tenant       text        PRIMARY KEY,
    generation   bigint      NOT NULL,
    plan         text        NOT NULL,
    state        text        NOT NULL,
    pending_plan text        NOT NULL,
    -- The operation that is changing the agreement.
    operation    text        NOT NULL,
    version      bigint      NOT NULL,
    changed_at   timestamptz NOT NULL DEFAULT now()
);

-- The differences between agreements and Stripe, each told once. One that comes again after it was closed is a new one.
CREATE TABLE drift (
    -- The life that it was found in; generation 0 and a customer for one that is nobody's.
    tenant          text        NOT NULL,
    generation      bigint      NOT NULL,
    customer_id     text        NOT NULL DEFAULT '',
    kind            text        NOT NULL,
    -- Empty when it is about one that is not there.
    subscription_id text        NOT NULL DEFAULT '',
    detail          text        NOT NULL,
    plan            text        NOT NULL,
    live_plan       text        NOT NULL,
    -- The agreement's that it was found at: what billing does about it is good for that one alone.
    version         bigint      NOT NULL,
    first_seen      timestamptz NOT NULL DEFAULT now(),
    last_seen       timestamptz NOT NULL DEFAULT now(),
    -- Tries to set it right that Stripe has refused; each is a work of its own.
    refused         int         NOT NULL DEFAULT 0,
    -- Null while it is being set right for the first time: it is told with the outcome.
    told_at         timestamptz,
    -- When it was gone; healed says whether by billing's doing.
    closed_at       timestamptz,
    healed          boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (tenant, generation, customer_id, kind, subscription_id)
);
CREATE INDEX drift_open ON drift (last_seen) WHERE closed_at IS NULL;

-- What Stripe has live, while a survey holds it against the agreements. Worth nothing after a crash: hence unlogged.
CREATE SEQUENCE surveys;
CREATE UNLOGGED TABLE survey_subscriptions (
    survey       bigint      NOT NULL,
    customer_id  text        NOT NULL,
    tenant       text        NOT NULL,
    subscription json        NOT NULL,
    taken_at     timestamptz NOT NULL DEFAULT now()
);
