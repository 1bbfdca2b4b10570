-- +goose Up

-- The end of each tenant's hash chain in the lifecycle's log, followed from its events: what certificates and roots
-- name. It outlives the purge, as the log does.
CREATE TABLE chains (
    tenant_id text   PRIMARY KEY,
    version   bigint NOT NULL,
    hash      bytea  NOT NULL
);

-- What a participant keeps after its erasure, and why.
ALTER TABLE erasures ADD COLUMN kept jsonb NOT NULL DEFAULT '[]';

-- The signed root of each day. The bytes are kept before they are copied to the object store: so there is one root of a
-- day, whatever fails. document is NULL until it is signed, published_at until the bucket has it.
CREATE TABLE roots (
    date         text        PRIMARY KEY,
    taken_at     timestamptz NOT NULL,
    document     bytea,
    published_at timestamptz,
    run_after    timestamptz NOT NULL DEFAULT '-infinity'
);

-- One at a time: each names the one before.
CREATE UNIQUE INDEX roots_unpublished ON roots ((true)) WHERE published_at IS NULL;

-- The heads as they were at taken_at of the root that is being made: whoever goes on with it after a crash signs the same.
CREATE TABLE root_leaves (
    tenant_id text COLLATE "C" PRIMARY KEY,
    version   bigint NOT NULL,
    hash      bytea  NOT NULL
);

-- Requests to erase again what purged tenants had, after it came back from a backup.
CREATE TABLE reapplications (
    id              text        PRIMARY KEY,
    dry_run         boolean     NOT NULL,
    requested_by    text        NOT NULL,
    requested_at    timestamptz NOT NULL DEFAULT now(),
    idempotency_key text        UNIQUE
);

-- What became of each tenant that has a certificate. rows is what was found of it, in a dry run and otherwise.
CREATE TABLE reapplied (
    reapplication_id text   NOT NULL REFERENCES reapplications,
    tenant_id        text   NOT NULL,
    generation       bigint NOT NULL,
    found_in         text   NOT NULL CHECK (found_in IN ('database', 'bucket')),
    status           text   NOT NULL CHECK (status IN ('open', 'refused', 'counted', 'erased')),
    reason           text   NOT NULL DEFAULT '',
    rows             bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (reapplication_id, tenant_id)
);

CREATE INDEX reapplied_open ON reapplied (tenant_id) WHERE status = 'open';

-- Tenants that were purged before it was written down: those of which sweeps are known have not come back.
INSERT INTO gone (tenant_id) SELECT DISTINCT tenant_id FROM sweeps ON CONFLICT DO NOTHING;
