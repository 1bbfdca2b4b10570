-- +goose Up

-- One row per partition of streams. Its lock is what orders the log: whoever appends holds it until the commit, so that
-- (partition, sequence) has no gaps and grows in the order of the commits.
CREATE TABLE partitions (
    id       int    PRIMARY KEY,
    sequence bigint NOT NULL DEFAULT 0
);

-- How far the relay has published. Apart from partitions, so that marking never waits for an append.
CREATE TABLE relays (
    partition int    PRIMARY KEY REFERENCES partitions,
    epoch     bigint NOT NULL DEFAULT 0,
    published bigint NOT NULL DEFAULT 0
);

-- The head of each stream. Half-empty pages keep every update HOT.
CREATE TABLE streams (
    stream   text   PRIMARY KEY,
    version  bigint NOT NULL,
    hash     bytea  NOT NULL,
    snapshot json
) WITH (fillfactor = 50);

CREATE TABLE log (
    partition    int         NOT NULL,
    sequence     bigint      NOT NULL,
    stream       text        NOT NULL,
    version      bigint      NOT NULL,
    type         text        NOT NULL,
    time         timestamptz NOT NULL,
    actor        text        NOT NULL,
    correlation  text        NOT NULL,
    causation    text        NOT NULL,
    traceparent  text,
    -- The key and the content's hash of the command that caused this event and those right behind it.
    command_key  text,
    command_hash bytea,
    -- text, not jsonb: the hash is over these very bytes.
    data         text        NOT NULL,
    hash         bytea       NOT NULL,
    PRIMARY KEY (partition, sequence)
);
CREATE UNIQUE INDEX log_stream_version ON log (stream, version);
CREATE UNIQUE INDEX log_stream_command ON log (stream, command_key) WHERE command_key IS NOT NULL;

-- The log is written once. Nobody, not even its owner, changes it by accident.
-- +goose StatementBegin
CREATE FUNCTION forbid_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the event log is append-only';
END $$;
-- +goose StatementEnd
CREATE TRIGGER log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log
    FOR EACH STATEMENT EXECUTE FUNCTION forbid_change();
