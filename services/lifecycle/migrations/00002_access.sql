-- +goose Up

-- A participant that can switch a tenant over only while nothing is written to it.
ALTER TABLE participants ADD COLUMN read_only boolean NOT NULL DEFAULT false;

DROP INDEX log_funnel;
CREATE INDEX log_funnel ON log (type, stream) WHERE type IN (
    'tenure.lifecycle.tenant.registered.v1', 'tenure.lifecycle.tenant.activated.v1', 'tenure.lifecycle.milestone.reached.v1');
