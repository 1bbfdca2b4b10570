-- +goose Up

-- The enforcement monitor goes by the log, which nobody changes, and not by the timers, whose rows may be lost.
CREATE INDEX log_deletions ON log (stream, version) WHERE type = 'tenure.lifecycle.deletion.requested.v1';
CREATE INDEX log_purges ON log (stream, version) WHERE type = 'tenure.lifecycle.purge.started.v1';
