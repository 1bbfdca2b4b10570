-- +goose Up

-- NULL: erased, since the message may have held personal data, or was handled in the end. Nothing is left to be replayed.
ALTER TABLE dead_letters ALTER COLUMN payload DROP NOT NULL;

CREATE INDEX dead_letters_content ON dead_letters (subject) WHERE payload IS NOT NULL;
