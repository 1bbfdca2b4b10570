-- One role and one schema per service. Run once, by the image's entrypoint, as the superuser in the database tenure;
-- 20-passwords.sql follows. The services make their tables themselves when they start, each in the schema made for it here.
REVOKE ALL ON DATABASE tenure FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;

CREATE ROLE tenure_lifecycle LOGIN;
CREATE ROLE tenure_billing LOGIN;
CREATE ROLE tenure_export LOGIN;
CREATE ROLE tenure_deletion LOGIN;
CREATE ROLE tenure_notifier LOGIN;
GRANT CONNECT ON DATABASE tenure
    TO tenure_lifecycle, tenure_billing, tenure_export, tenure_deletion, tenure_notifier;

CREATE SCHEMA lifecycle AUTHORIZATION tenure_lifecycle;
CREATE SCHEMA billing AUTHORIZATION tenure_billing;
CREATE SCHEMA export AUTHORIZATION tenure_export;
CREATE SCHEMA deletion AUTHORIZATION tenure_deletion;
CREATE SCHEMA notifier AUTHORIZATION tenure_notifier;

-- Two schemas are shared. The lifecycle owns them and migrates them, so it starts first (depends_on); the others use what
-- it has made.

-- Dead letters: every consumer puts its own aside, and the lifecycle's API shows and replays all of them.
CREATE SCHEMA bus AUTHORIZATION tenure_lifecycle;
GRANT USAGE ON SCHEMA bus TO tenure_billing, tenure_export, tenure_deletion, tenure_notifier;
ALTER DEFAULT PRIVILEGES FOR ROLE tenure_lifecycle IN SCHEMA bus
    GRANT SELECT, INSERT, UPDATE ON TABLES TO tenure_billing, tenure_export, tenure_deletion, tenure_notifier;

-- Names and addresses: the lifecycle stores them, the notifier reads them, the deletion destroys them.
CREATE SCHEMA vault AUTHORIZATION tenure_lifecycle;
GRANT USAGE ON SCHEMA vault TO tenure_deletion, tenure_notifier;
ALTER DEFAULT PRIVILEGES FOR ROLE tenure_lifecycle IN SCHEMA vault GRANT SELECT ON TABLES TO tenure_notifier;
ALTER DEFAULT PRIVILEGES FOR ROLE tenure_lifecycle IN SCHEMA vault GRANT SELECT, UPDATE, DELETE ON TABLES TO tenure_deletion;
