-- +goose Up

-- Where the tenant's archive is kept: "warm" as it was put there, "cold" made small, "warming" being brought back. Whoever
-- changes objects looks again afterwards, so that each way is finished by whoever is last.
ALTER TABLE tenants ADD COLUMN tier text NOT NULL DEFAULT 'warm' CHECK (tier IN ('warm', 'cold', 'warming'));
