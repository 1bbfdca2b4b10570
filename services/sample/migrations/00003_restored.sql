-- +goose Up

-- While an upgrade is under way: the operation whose archive the row came back from, for the way back.
ALTER TABLE documents ADD COLUMN restored_from text;
