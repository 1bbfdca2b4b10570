-- +goose Up

-- Whoever wakes a job, it is not done before due_at: only a retention has one.
ALTER TABLE jobs ADD COLUMN due_at timestamptz NOT NULL DEFAULT '-infinity';
ALTER TABLE jobs ADD CONSTRAINT jobs_never_early CHECK (run_after >= due_at);

-- What was written down of a store before anything of the operation was erased, and how far its erasure is. A
-- participant's row has no counted_at: it erases by itself.
ALTER TABLE erasures
    ADD COLUMN kind        text   NOT NULL DEFAULT '',
    ADD COLUMN targets     text[] NOT NULL DEFAULT '{}',
    ADD COLUMN class       text   NOT NULL DEFAULT '',
    -- Why the store is left as it is, by which law, and for how long when that is known; '' when it is erased.
    ADD COLUMN stays       text   NOT NULL DEFAULT '',
    ADD COLUMN basis       text   NOT NULL DEFAULT '',
    ADD COLUMN until       timestamptz,
    ADD COLUMN counted_at  timestamptz,
    -- When it was last told to erase, and since when every look found it empty.
    ADD COLUMN erased_at   timestamptz,
    ADD COLUMN empty_since timestamptz;

-- The policy that the purge was held to.
ALTER TABLE purges
    ADD COLUMN plan          text NOT NULL DEFAULT '',
    ADD COLUMN retention_min int  NOT NULL DEFAULT 0,
    ADD COLUMN retention_max int  NOT NULL DEFAULT 0,
    ADD COLUMN policy_hash   text NOT NULL DEFAULT '';

-- Tenants whose purge has begun, until they come back.
CREATE TABLE gone (
    tenant_id text PRIMARY KEY
);

-- Data that outlives its tenant, by class: erased when its time has come, unless the tenant came back before, to whom it
-- then belongs again.
CREATE TABLE retentions (
    tenant_id    text        NOT NULL,
    generation   bigint      NOT NULL,
    class        text        NOT NULL,
    operation_id text        NOT NULL UNIQUE,
    basis        text        NOT NULL,
    until        timestamptz NOT NULL,
    stores       text[]      NOT NULL,
    document     bytea,
    ended_at     timestamptz,
    PRIMARY KEY (tenant_id, generation, class)
);

-- Requests of single persons to be erased. The person's key is here until that is done, and nowhere else.
CREATE TABLE subject_erasures (
    request_id      text        PRIMARY KEY,
    tenant_id       text        NOT NULL,
    subject         text,
    -- SHA-256 over the request's id and what was asked: it tells whether a repeated request is the same.
    content_sha256  bytea       NOT NULL,
    reason          text        NOT NULL,
    requested_by    text        NOT NULL,
    requested_at    timestamptz NOT NULL,
    due_by          timestamptz NOT NULL,
    idempotency_key text,
    status          text        NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'completed', 'superseded')),
    document        bytea,
    ended_at        timestamptz,
    warned_at       timestamptz,
    -- No person at all would be the whole tenant.
    CHECK (subject <> ''),
    CHECK ((subject IS NULL) = (status <> 'open')),
    UNIQUE (tenant_id, idempotency_key)
);

CREATE INDEX subject_erasures_open ON subject_erasures (due_by) WHERE status = 'open';
CREATE INDEX subject_erasures_tenant ON subject_erasures (tenant_id);
