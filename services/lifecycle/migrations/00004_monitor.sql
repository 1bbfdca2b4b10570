-- +goose Up

-- The enforcement monitor goes by the log, which nobody changes, and not by the timers, whose rows may be lost.
CREATE INDEX log_leaving ON log (stream, version DESC, type)
    WHERE type IN ('tenure.lifecycle.deletion.requested.v1', 'tenure.lifecycle.purge.started.v1');
CREATE INDEX log_purges ON log (partition, sequence) WHERE type = 'tenure.lifecycle.purge.started.v1';
