-- +goose Up

-- An archive in the making: what a worker needs to go on where another one was killed. Gone when the job ends, since its
-- ranges and checkpoints hold keys of the tenant's rows.
CREATE TABLE archives (
    export_id text  PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    -- S3's name of the upload, '' while one is being begun: an upload that is in no row may be aborted by anybody.
    upload_id text  NOT NULL DEFAULT '',
    plan      json  NOT NULL,
    -- All parts, once they are all there: what completes the upload, however often that is asked for.
    parts     json
);

-- Finished files, and the parts that hold them, by lane: the n-th of a lane counts only while those before it do.
CREATE TABLE checkpoints (
    export_id  text NOT NULL REFERENCES archives ON DELETE CASCADE,
    lane       int  NOT NULL,
    n          int  NOT NULL,
    checkpoint json NOT NULL,
    PRIMARY KEY (export_id, lane, n)
);

-- Bytes of rows that had to be read again after a kill.
ALTER TABLE jobs ADD COLUMN redone_bytes bigint NOT NULL DEFAULT 0;
