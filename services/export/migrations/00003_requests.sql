-- +goose Up
ALTER TABLE jobs
    -- The place of the tenant's plan in the catalogue: each is worth some minutes in the queue.
    ADD COLUMN rank int NOT NULL DEFAULT 0,
    -- An earlier export, in place of since: what changed after its snapshot is wanted.
    ADD COLUMN since_export text NOT NULL DEFAULT '',
    -- The age recipient that the files are encrypted to, and the kinds that are wanted as Parquet.
    ADD COLUMN encrypt_to text NOT NULL DEFAULT '',
    ADD COLUMN parquet text[] NOT NULL DEFAULT '{}',
    -- The participants that are asked for files, and what each has answered, by its name. No worker begins before all have.
    ADD COLUMN participants text[] NOT NULL DEFAULT '{}',
    ADD COLUMN contributions jsonb NOT NULL DEFAULT '{}',
    -- One person's key, in an export of that person's data: personal, and gone when the job ends. What stays is the
    -- hash, keyed by export_id, so that the same person in two exports cannot be told.
    ADD COLUMN subject text NOT NULL DEFAULT '',
    ADD COLUMN subject_sha256 text NOT NULL DEFAULT '',
    -- The Idempotency-Key of those who asked over HTTP; null for exports that came over the bus.
    ADD COLUMN request_key text,
    -- When the law wants the archive done (one calendar month), and when an operator was told that this is near.
    ADD COLUMN due_by timestamptz,
    ADD COLUMN alerted_at timestamptz,
    -- The manifest's; it outlives the manifest, for exports of what changed since.
    ADD COLUMN snapshot_at timestamptz,
    -- How fast the rows are read, by the heartbeats of the present holder.
    ADD COLUMN beat_at timestamptz,
    ADD COLUMN rows_per_second float8 NOT NULL DEFAULT 0,
    ADD COLUMN bytes_per_second float8 NOT NULL DEFAULT 0;

UPDATE jobs SET due_by = requested_at + interval '1 month', snapshot_at = (manifest->>'snapshot_at')::timestamptz;
ALTER TABLE jobs ALTER COLUMN due_by SET NOT NULL;

CREATE UNIQUE INDEX jobs_request ON jobs (tenant_id, request_key);
CREATE INDEX jobs_due ON jobs (due_by) WHERE alerted_at IS NULL AND status IN ('pending', 'running', 'verifying', 'failed');
DROP INDEX jobs_tenant;
CREATE INDEX jobs_tenant ON jobs (tenant_id, requested_at, export_id);

-- The tenants that the lifecycle has told of, so that nobody asks for an export of one that is not there.
CREATE TABLE tenants (
    tenant_id text PRIMARY KEY,
    state     text NOT NULL
);
INSERT INTO tenants (tenant_id, state)
SELECT DISTINCT ON (tenant_id) tenant_id, row->>'to_state' FROM audit
WHERE row->>'to_state' <> '' ORDER BY tenant_id, version DESC;
