-- +goose Up

-- What each consumer has taken. The hash tells a redelivery from a forgery under the same id.
CREATE TABLE inbox (
    consumer text        NOT NULL,
    source   text        NOT NULL,
    id       text        NOT NULL,
    hash     bytea       NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, source, id)
);

-- How far each consumer is in each ordered stream: the high-water mark.
CREATE TABLE inbox_positions (
    consumer text   NOT NULL,
    service  text   NOT NULL,
    subject  text   NOT NULL,
    sequence bigint NOT NULL,
    PRIMARY KEY (consumer, service, subject)
) WITH (fillfactor = 70);
