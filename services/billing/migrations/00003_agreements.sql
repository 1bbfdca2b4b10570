-- +goose Up

-- What each tenant should be paying, by the lifecycle's log: written in the transaction that handles each event of it.
CREATE TABLE agreements (
    tenant       text   PRIMARY KEY,
    generation   bigint NOT NULL,
    plan         text   NOT NULL,
    state        text   NOT NULL,
    pending_plan text   NOT NULL,
    -- The operation that is changing the agreement.
    operation    text   NOT NULL,
    version      bigint NOT NULL
);
