-- +goose Up

-- Rows lie where their tenant's plan has its capacity: each plan has tables of its own, as each could have a database of
-- its own. A plan change moves rows from one to another, a few at a time; a row is in exactly one of them at any moment.
-- +goose StatementBegin
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['documents', 'vectors'] LOOP
        EXECUTE format('ALTER TABLE %I RENAME TO %I', name, name || '_before');
    END LOOP;
END $$;
-- +goose StatementEnd

CREATE TABLE documents (
    tenant_id   text NOT NULL,
    -- The plan whose capacity holds the row.
    capacity    text NOT NULL,
    id          text NOT NULL,
    name        text NOT NULL,
    content     text NOT NULL,
    metadata    jsonb NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The operation that put the row away because a lower plan has no room for it; null: in use.
    archived_by text,
    PRIMARY KEY (tenant_id, id, capacity)
) PARTITION BY LIST (capacity);
-- Several rows may have one name: the newest is the current one.
CREATE INDEX ON documents (tenant_id, name, created_at, id);

CREATE TABLE vectors (
    tenant_id text NOT NULL,
    capacity  text NOT NULL,
    id        text NOT NULL,
    values    real[] NOT NULL,
    metadata  jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant_id, id, capacity)
) PARTITION BY LIST (capacity);

-- +goose StatementBegin
DO $$
DECLARE
    name text;
    plan text;
BEGIN
    FOREACH name IN ARRAY ARRAY['documents', 'vectors'] LOOP
        FOREACH plan IN ARRAY ARRAY['free', 'starter', 'professional', 'enterprise'] LOOP
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES IN (%L)', name || '_' || plan, name, plan);
        END LOOP;
        -- For the plans of a plan file.
        EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', name || '_other', name);

        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY own_tenant ON %I USING (tenant_id = current_setting(''tenure.tenant''))', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO tenure_sample', name);
    END LOOP;
END $$;
-- +goose StatementEnd

INSERT INTO documents (tenant_id, capacity, id, name, content, metadata, created_at, archived_by)
SELECT tenant_id, serving, id, name, content, metadata, d.created_at, archived_by FROM documents_before d JOIN tenants USING (tenant_id);
INSERT INTO vectors (tenant_id, capacity, id, values, metadata)
SELECT tenant_id, serving, id, values, metadata FROM vectors_before JOIN tenants USING (tenant_id);
DROP TABLE documents_before, vectors_before;
