-- +goose Up

-- Requests run as this role. Row-level security binds it even where the service itself connects as a superuser, who
-- would pass by every policy. Roles belong to the whole server: another database's migration may have made it just now.
-- +goose StatementBegin
DO $$
BEGIN
    CREATE ROLE tenure_sample NOLOGIN NOBYPASSRLS;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
DO $$
BEGIN
    IF NOT pg_has_role(current_user, 'tenure_sample', 'MEMBER') THEN
        GRANT tenure_sample TO CURRENT_USER;
    END IF;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO tenure_sample', current_schema);
END $$;
-- +goose StatementEnd

-- One row per tenant that has been provisioned.
CREATE TABLE tenants (
    tenant_id  text PRIMARY KEY,
    generation bigint NOT NULL,
    plan       text NOT NULL,
    -- The capacity that new requests go to; during a plan change it moves before plan does.
    serving    text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What a tenant's requests run on, one per plan: two while a plan change is under way.
CREATE TABLE capacities (
    tenant_id  text NOT NULL,
    plan       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, plan)
);

CREATE TABLE documents (
    tenant_id  text NOT NULL,
    id         text NOT NULL,
    name       text NOT NULL,
    content    text NOT NULL,
    metadata   jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The operation that put the row away because a lower plan has no room for it; null: in use.
    archived_by text,
    PRIMARY KEY (tenant_id, id)
);
-- Several rows may have one name: the newest is the current one.
CREATE INDEX documents_name ON documents (tenant_id, name, created_at, id);

CREATE TABLE vectors (
    tenant_id text NOT NULL,
    id        text NOT NULL,
    values    real[] NOT NULL,
    metadata  jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE usage (
    tenant_id text NOT NULL,
    id        text NOT NULL DEFAULT gen_random_uuid()::text,
    metric    text NOT NULL,
    quantity  double precision NOT NULL,
    time      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, id)
);

-- Sums of usage, for quotas: the row's lock makes counting exact however many requests come at once.
CREATE TABLE counters (
    tenant_id text NOT NULL,
    metric    text NOT NULL,
    -- "2026-07" for what is counted by the month, empty for running totals.
    period    text NOT NULL,
    used      double precision NOT NULL,
    PRIMARY KEY (tenant_id, metric, period)
);

-- Usage that the bus has not confirmed yet. Its relay reads all tenants' rows, so that no policy is on it; requests
-- may add to it and no more.
CREATE TABLE outbox (
    tenant_id text NOT NULL,
    id        text NOT NULL,
    metric    text NOT NULL,
    quantity  double precision NOT NULL,
    time      timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
GRANT INSERT ON outbox TO tenure_sample;

-- current_setting fails where no tenant was set, and '' is nobody's id: forgetting it shows no rows instead of all.
-- +goose StatementBegin
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['tenants', 'capacities', 'documents', 'vectors', 'usage', 'counters'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY own_tenant ON %I USING (tenant_id = current_setting(''tenure.tenant''))', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO tenure_sample', name);
    END LOOP;
END $$;
-- +goose StatementEnd
