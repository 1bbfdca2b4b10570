-- +goose Up

-- When the figures moved last. Of the time before nothing is known, so that all count as used now.
ALTER TABLE billing_facts ADD COLUMN used_at timestamptz;
UPDATE billing_facts SET used_at = now();

-- When to look next whether anybody uses a tenant. Uses, which come every second, do not move it: a look that comes too
-- early puts off the next one, so that each tenant costs one look in the time that it takes to become cold.
CREATE TABLE idle_looks (
    tenant text        PRIMARY KEY,
    due    timestamptz NOT NULL
);
CREATE INDEX idle_looks_due ON idle_looks (due);
INSERT INTO idle_looks (tenant, due) SELECT stream, now() FROM streams;
