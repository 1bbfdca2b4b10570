package deployment_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"tenure/shared/testkit"
)

// requireDenied sends a message that the server must refuse.
func (w *world) requireDenied(t *testing.T, user, subject string) {
	t.Helper()
	refusals := make(chan error, 1)
	nc := w.connect(t, user, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refusals <- err }))
	defer nc.Close()
	require.NoError(t, nc.Publish(subject, nil))
	err := testkit.Receive(t, patience, refusals)
	require.ErrorContains(t, err, "Permissions Violation")
	require.ErrorContains(t, err, subject)
}

func (w *world) testBusRights(t *testing.T) {
	for _, denied := range []struct{ user, subject string }{
		{"billing", "tenure.events.lifecycle.acme.tenant.activated"},
		{"lifecycle", "tenure.events.billing.acme.payment.confirmed"},
		{"export", "tenure.events.stripe.acme.invoice.paid"},
		{"deletion", "tenure.commands.acme"},
		{"deletion", "tenure.usage.acme"},
		{"upstream", "tenure.events.lifecycle.acme.tenant.activated"},
		{"upstream", "tenure.usage.acme"},
		{"saas", "tenure.commands.acme"},
		{"saas", "tenure.events.lifecycle.acme.tenant.activated"},
		// Commands carry personal data: the lifecycle alone reads them.
		{"billing", "$JS.API.CONSUMER.CREATE.TENURE_COMMANDS.billing"},
		{"upstream", "$JS.API.CONSUMER.CREATE.TENURE_COMMANDS.upstream"},
		{"saas", "$JS.API.STREAM.MSG.GET.TENURE_COMMANDS"},
		// What a tenant pays is for the lifecycle to ask, which knows who may see it.
		{"upstream", "tenure.queries.billing.quote"},
		{"saas", "tenure.queries.billing.quote"},
		// How a tenant is and what a command would do, the notifier shows to whoever has a link; others ask the API.
		{"upstream", "tenure.queries.lifecycle.tenant"},
		{"saas", "tenure.queries.lifecycle.preview"},
		{"notifier", "tenure.queries.deletion.inventory"},
		// A gate that is none could hold every plan change up, or let one through.
		{"upstream", "tenure.gates.forged"},
		// Nobody works on another's consumer.
		{"billing", "$JS.API.CONSUMER.MSG.NEXT.TENURE_EVENTS.notifier"},
		{"billing", "$JS.API.CONSUMER.DELETE.TENURE_EVENTS.notifier"},
		{"saas", "$JS.API.CONSUMER.CREATE.TENURE_EVENTS.notifier.tenure.events.lifecycle.>"},
		{"upstream", "$JS.API.CONSUMER.CREATE.TENURE_EVENTS.upstream.tenure.events.>"},
		// Nobody destroys what was said.
		{"lifecycle", "$JS.API.STREAM.DELETE.TENURE_EVENTS"},
		{"lifecycle", "$JS.API.STREAM.PURGE.TENURE_COMMANDS"},
		{"lifecycle", "$JS.API.STREAM.MSG.DELETE.TENURE_EVENTS"},
		{"deletion", "$JS.API.STREAM.MSG.DELETE.TENURE_COMMANDS"},
		{"upstream", "$JS.API.STREAM.MSG.DELETE.TENURE_COMMANDS"},
	} {
		w.requireDenied(t, denied.user, denied.subject)
	}

	for user, subject := range map[string]string{"upstream": "tenure.commands.>", "saas": "tenure.events.>", "billing": ">"} {
		refusals := make(chan error, 1)
		nc := w.connect(t, user, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refusals <- err }))
		_, err := nc.SubscribeSync(subject)
		require.NoError(t, err)
		require.ErrorContains(t, testkit.Receive(t, patience, refusals), "Permissions Violation", "%s listens to %s", user, subject)
	}
	_, err := nats.Connect(w.nats.ClientURL())
	require.ErrorIs(t, err, nats.ErrAuthorization, "without a password")
}

func (w *world) testDatabaseRights(t *testing.T) {
	for _, denied := range []struct{ service, sql string }{
		{"billing", `SELECT FROM lifecycle.log`},
		{"lifecycle", `SELECT FROM billing.log`},
		{"deletion", `SELECT FROM export.log`},
		{"billing", `SELECT FROM vault.keys`},
		{"export", `SELECT FROM vault.contacts`},
		{"notifier", `UPDATE vault.keys SET wrapped = NULL`},
		{"notifier", `DELETE FROM vault.contacts`},
		{"deletion", `INSERT INTO vault.keys (tenant, generation) VALUES ('acme', 1)`},
		{"billing", `DELETE FROM bus.dead_letters`},
		{"export", `CREATE TABLE bus.mine ()`},
		{"export", `CREATE TABLE public.mine ()`},
		{"notifier", `DROP SCHEMA lifecycle CASCADE`},
		{"lifecycle", `CREATE ROLE another`},
	} {
		conn, err := pgx.Connect(t.Context(), w.databaseURL(t, denied.service))
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), denied.sql)
		var refused *pgconn.PgError
		require.True(t, errors.As(err, &refused), "%s may %s", denied.service, denied.sql)
		require.Equal(t, "42501", refused.Code, "%s, %s: %v", denied.service, denied.sql, err)
		require.NoError(t, conn.Close(t.Context()))
	}
}

// databaseURL is what the service gets.
func (w *world) databaseURL(t *testing.T, service string) string {
	t.Helper()
	u, err := url.Parse(w.local(mounted(t, w.project, service)["/run/secrets/database-url"]))
	require.NoError(t, err)
	require.Equal(t, "tenure_"+service, u.User.Username())
	require.Equal(t, "tenure", strings.TrimPrefix(u.Path, "/"))
	return u.String()
}
