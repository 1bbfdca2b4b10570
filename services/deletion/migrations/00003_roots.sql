-- +goose Up

-- The end of each tenant's hash chain in the lifecycle's log, followed from its events: what certificates and roots
-- name. It outlives the purge, as the log does.
CREATE TABLE chains (
    tenant_id text   PRIMARY KEY,
    version   bigint NOT NULL,
    hash      bytea  NOT NULL
);
