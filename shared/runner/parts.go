package runner

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/shared/auth"
	"tenure/shared/bus"
	"tenure/shared/fault"
	"tenure/shared/vault"
)

// Services start in any order: whatever is not there yet is waited for, and said.
const waitInterval = 500 * time.Millisecond

func waitForDatabase(ctx context.Context, url string) error {
	if _, err := pgx.ParseConfig(url); err != nil {
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	return waitFor(ctx, "PostgreSQL", func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
}

// waitForTopology makes the streams where the lifecycle service runs, which owns them; all others wait until they are
// there, and need no right to make or change one.
func waitForTopology(ctx context.Context, b *bus.Bus, owner bool) error {
	if owner {
		return waitFor(ctx, "NATS JetStream", b.EnsureTopology)
	}
	return waitFor(ctx, "NATS JetStream", b.FindTopology)
}

// waitFor tries until it works, cannot work (a fault.Permanent) or ctx ends; after the first failure it says what it waits
// for, and why, now and then.
func waitFor(ctx context.Context, what string, try func(context.Context) error) error {
	for attempt := 0; ; attempt++ {
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := try(limited)
		cancel()
		if err == nil || fault.IsPermanent(err) {
			return err
		}
		if attempt%20 == 0 {
			slog.WarnContext(ctx, "waiting for "+what, "error", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not there: %w", what, err)
		case <-time.After(waitInterval):
		}
	}
}

func openVerifier(environ Environ) (*auth.Verifier, error) {
	var settings auth.Settings
	if err := environ.Parse(&settings); err != nil {
		return nil, err
	}
	return auth.New(settings)
}

func openVault(ctx context.Context, s Settings, environ Environ) (*vault.Vault, error) {
	key := environ["TENURE_VAULT_KEY"]
	if key == "" {
		return nil, nil
	}
	return vault.Open(ctx, s.DatabaseURL, key)
}
