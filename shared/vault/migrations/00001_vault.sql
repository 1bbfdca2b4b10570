-- +goose Up

-- One data key per life of a tenant, wrapped by the master key. Apart from what it opens, so that the two can be
-- backed up apart: a key that is shredded here, and not kept in old backups for long, makes the old backups of the
-- contacts unreadable too. Hence no foreign key either.
CREATE TABLE vault.keys (
    tenant      text        NOT NULL,
    generation  bigint      NOT NULL,
    wrapped     bytea, -- NULL: shredded
    shredded_at timestamptz,
    PRIMARY KEY (tenant, generation),
    CHECK ((wrapped IS NULL) = (shredded_at IS NOT NULL))
);

CREATE TABLE vault.contacts (
    tenant     text   NOT NULL,
    generation bigint NOT NULL,
    sealed     bytea  NOT NULL,
    PRIMARY KEY (tenant, generation)
);

-- +goose Down
DROP TABLE vault.contacts;
DROP TABLE vault.keys;
