-- +goose Up

-- An import knows no plans: the rows that it brings lie apart until the tenant's next change of plan moves them, as it moves all
-- that lies elsewhere. Until then they are read like any others.
ALTER TABLE documents ALTER COLUMN capacity SET DEFAULT 'imported';
ALTER TABLE vectors ALTER COLUMN capacity SET DEFAULT 'imported';
