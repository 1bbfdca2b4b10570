-- +goose Up

-- The end of each tenant's hash chain in the lifecycle's log, followed from its events: what certificates and roots
-- name. It outlives the purge, as the log does.
CREATE TABLE chains (
    tenant_id text   PRIMARY KEY,
    version   bigint NOT NULL,
    hash      bytea  NOT NULL
);

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
