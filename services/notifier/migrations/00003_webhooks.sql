-- +goose Up

-- Where a tenant's own systems are told. The secret is not here: it follows from the id, the version and the vault's key.
CREATE TABLE endpoints (
    id             text        PRIMARY KEY,
    tenant_id      text        NOT NULL,
    url            text        NOT NULL,
    -- Patterns of event types; none is all of them.
    filter         text[]      NOT NULL,
    description    text        NOT NULL,
    secret_version int         NOT NULL DEFAULT 1,
    -- The key of the request that made the version, so that a request that comes again makes no other.
    rotated_by     text        NOT NULL DEFAULT '',
    -- Until then calls are signed with the former secret, too.
    former_until   timestamptz NOT NULL DEFAULT '-infinity',
    -- The first of the calls that failed since one was taken; NULL: the last one was.
    failing_since  timestamptz,
    disabled_at    timestamptz,
    -- A call is under way until then at the latest: an endpoint that hangs keeps one worker, not all.
    busy_until     timestamptz NOT NULL DEFAULT '-infinity',
    -- Its tenant is purged: it is forgotten when it has been told.
    closing        boolean     NOT NULL DEFAULT false,
    created_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX endpoints_tenant ON endpoints (tenant_id, created_at);

-- One row per event and endpoint: the promise that it is told.
CREATE TABLE deliveries (
    id          text        PRIMARY KEY,
    endpoint_id text        NOT NULL REFERENCES endpoints ON DELETE CASCADE,
    event_id    text        NOT NULL,
    event_type  text        NOT NULL,
    body        bytea       NOT NULL,
    state       text        NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'delivered', 'failed')),
    -- Failed calls, and what came of the last.
    failures    int         NOT NULL DEFAULT 0,
    status      int         NOT NULL DEFAULT 0,
    error       text        NOT NULL DEFAULT '',
    next_try_at timestamptz NOT NULL DEFAULT now(),
    created_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz
);
CREATE INDEX deliveries_due ON deliveries (next_try_at) WHERE state = 'queued';
CREATE INDEX deliveries_endpoint ON deliveries (endpoint_id, created_at);
CREATE INDEX deliveries_ended ON deliveries (ended_at) WHERE ended_at IS NOT NULL;
