package notifier_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"tenure/services/notifier"
	"tenure/services/notifier/internal/smtptest"
	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/runner"
	"tenure/shared/testkit"
	"tenure/shared/vault"
)

const soon = 30 * time.Second

// world is a notifier on a real database, bus and mail server; the test stands for the lifecycle.
type world struct {
	t       *testing.T
	url     string
	db      *pgxpool.Pool
	bus     *bus.Bus
	vault   *vault.Vault
	mail    *smtptest.Server
	version map[string]int64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{t: t, url: testkit.Postgres(t), mail: smtptest.Start(t), version: map[string]int64{}}
	var err error
	if w.vault, err = vault.Open(ctx, w.url, base64.StdEncoding.EncodeToString(make([]byte, 32))); err != nil {
		t.Fatal(err)
	}
	if err := bus.Migrate(ctx, w.url); err != nil {
		t.Fatal(err)
	}
	if w.db, err = w.open(ctx, bus.Schema); err != nil {
		t.Fatal(err)
	}
	if w.bus, err = bus.Connect(ctx, bus.Config{URL: testkit.NATS(t).URL(), Name: t.Name(), DB: w.db}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.bus.Close)
	if err := w.bus.EnsureTopology(ctx); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) open(ctx context.Context, schema string) (*pgxpool.Pool, error) {
	if err := pg.CreateSchema(ctx, w.url, schema); err != nil {
		return nil, err
	}
	pool, err := pg.Open(ctx, w.url, schema)
	if err == nil {
		w.t.Cleanup(pool.Close)
	}
	return pool, err
}

// run starts a notifier; stop ends it, as does the test.
func (w *world) run() (stop func()) {
	w.t.Helper()
	service, err := notifier.New(w.t.Context(), runner.Deps{
		Settings: runner.Settings{Env: "dev", HTTPAddr: "127.0.0.1:8080"},
		Environ:  runner.Environ{"SMTP_URL": w.mail.URL()},
		Bus:      w.bus, Vault: w.vault, Open: w.open,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := testkit.Receive(w.t, soon, ended); err != nil && w.t.Context().Err() == nil {
			w.t.Errorf("run: %v", err)
		}
	}
	w.t.Cleanup(stop)
	if err := service.Ready(w.t.Context()); err != nil {
		w.t.Errorf("ready: %v", err)
	}
	return stop
}

// register gives a tenant its contact.
func (w *world) register(tenant string) {
	w.t.Helper()
	contact := vault.Contact{Name: "Ada", Email: tenant + "@example.com"}
	if err := w.vault.Put(w.t.Context(), w.db, tenant, 1, contact); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) publish(tenant string, payloads ...events.Payload) (last events.Event) {
	w.t.Helper()
	for _, p := range payloads {
		e, err := events.New(p, tenant)
		if err != nil {
			w.t.Fatal(err)
		}
		w.version[tenant]++
		e.Sequence = w.version[tenant]
		e.ID, e.Source, e.Time = tenant+"."+strconv.FormatInt(e.Sequence, 10), "tenure/lifecycle", time.Now()
		e.CorrelationID = "command-1"
		if err := w.bus.Publish(w.t.Context(), e); err != nil {
			w.t.Fatal(err)
		}
		last = e
	}
	return last
}

// subjects are those of the mails to a tenant, in the order of arrival.
func (w *world) subjects(tenant string) []string {
	var out []string
	for _, m := range w.mail.Mails() {
		if m.To == tenant+"@example.com" {
			out = append(out, m.Header.Get("Subject"))
		}
	}
	return out
}

func (w *world) wantMails(tenant string, want ...string) {
	w.t.Helper()
	testkit.WaitFor(w.t, soon, fmt.Sprintf("%d mails to %s", len(want), tenant), func() bool { return len(w.subjects(tenant)) >= len(want) })
	if diff := cmp.Diff(want, w.subjects(tenant)); diff != "" {
		w.t.Errorf("mails to %s (-want +got):\n%s", tenant, diff)
	}
}

// states counts the messages by state.
func (w *world) states() map[string]int {
	w.t.Helper()
	rows, err := w.db.Query(w.t.Context(), `SELECT state, count(*) FROM notifier.messages GROUP BY state`)
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]int{}
	for rows.Next() {
		var state string
		var n int
		if err := rows.Scan(&state, &n); err != nil {
			w.t.Fatal(err)
		}
		out[state] = n
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return out
}

// reported are the notifier's own events about a tenant.
func (w *world) reported(tenant string, n int) []events.Event {
	w.t.Helper()
	js, err := jetstream.New(w.bus.Conn())
	if err != nil {
		w.t.Fatal(err)
	}
	consumer, err := js.OrderedConsumer(w.t.Context(), bus.StreamEvents, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"tenure.events.notifier." + tenant + ".>"},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	batch, err := consumer.Fetch(n, jetstream.FetchMaxWait(soon))
	if err != nil {
		w.t.Fatal(err)
	}
	var out []events.Event
	for msg := range batch.Messages() {
		e, err := events.Decode(msg.Headers(), msg.Data())
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, e)
	}
	if len(out) != n {
		w.t.Fatalf("%d of %d events about %s", len(out), n, tenant)
	}
	return out
}

func TestEachEventReachesItsPersonOnce(t *testing.T) {
	w := newWorld(t)
	w.register("acme")
	w.run()
	activated := w.publish("acme", &events.TenantRegistered{}, &events.TenantActivated{Plan: "starter"})
	w.publish("acme", &events.StepRequested{}, &events.UpgradeCompleted{FromPlan: "starter", Plan: "professional"})
	w.wantMails("acme", "acme is ready", "acme is now on the professional plan")

	sent := w.reported("acme", 2)[0]
	if sent.Type != "tenure.notifier.message.sent.v1" || sent.CausationID != activated.ID || sent.CorrelationID != "command-1" || sent.Sequence != 1 {
		t.Errorf("event: %+v", sent)
	}
	if strings.Contains(string(sent.Data), "@") {
		t.Errorf("the event holds an address: %s", sent.Data)
	}

	// The same event again, beyond the bus's window for duplicates.
	activated.Source = "tenure/lifecycle"
	replay(t, w.bus, activated)
	w.publish("acme", &events.PaymentRecovered{})
	w.wantMails("acme", "acme is ready", "acme is now on the professional plan", "Your payment for acme has arrived")
}

// replay publishes an event as a rebuilt stream would: with another Nats-Msg-Id.
func replay(t *testing.T, b *bus.Bus, e events.Event) {
	t.Helper()
	body, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(b.Conn())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), events.BusSubject(e.Type, e.Subject), body); err != nil {
		t.Fatal(err)
	}
}

// While the mail server is away nothing is lost, and nothing leaves later that is no longer true.
func TestMailWaitsForItsServer(t *testing.T) {
	w := newWorld(t)
	w.register("acme")
	w.register("other")
	w.mail.Stop()
	stop := w.run()
	w.publish("acme", &events.TenantActivated{Plan: "starter"}, &events.TenantSuspended{Blocks: []events.Block{{Kind: "payment"}}},
		&events.DeletionRequested{}, &events.TenantReactivated{Plan: "starter", RestoreData: true})
	w.publish("other", &events.TenantActivated{Plan: "free"})
	testkit.WaitFor(t, soon, "all events are taken in", func() bool {
		states := w.states()
		return states["queued"] == 3 && states["superseded"] == 2
	})
	stop()
	w.run() // a restart changes nothing
	w.mail.Start()
	w.wantMails("acme", "acme is ready", "Welcome back: acme works again")
	w.wantMails("other", "other is ready")
	testkit.WaitFor(t, soon, "all is noted as sent", func() bool { return w.states()["sent"] == 3 })
}

func TestAWrongAddressDelaysNobody(t *testing.T) {
	w := newWorld(t)
	for _, tenant := range []string{"wrong", "later", "right"} {
		w.register(tenant)
	}
	tries := make(chan struct{}, 100)
	w.mail.Refuse(func(command, address string) int {
		switch {
		case command == "RCPT" && strings.HasPrefix(address, "wrong@"):
			return 550
		case command == "RCPT" && strings.HasPrefix(address, "later@") && len(tries) < 1:
			tries <- struct{}{}
			return 450
		}
		return 0
	})
	w.run()
	for _, tenant := range []string{"wrong", "later", "right", "unknown"} {
		w.publish(tenant, &events.TenantActivated{Plan: "free"})
	}
	w.wantMails("right", "right is ready")
	w.wantMails("later", "later is ready")
	for _, tenant := range []string{"wrong", "unknown"} {
		failed := w.reported(tenant, 1)[0]
		if failed.Type != "tenure.notifier.message.failed.v1" || strings.Contains(string(failed.Data), "@") {
			t.Errorf("%s: %s %s", tenant, failed.Type, failed.Data)
		}
	}
	for _, tenant := range []string{"right", "later"} {
		w.reported(tenant, 1) // a mail arrives before it is marked as sent
	}
	if got := w.states(); got["failed"] != 2 || got["sent"] != 2 {
		t.Errorf("messages: %v", got)
	}
}

// When all is gone the vault has forgotten the address: the last mail has kept it, and forgets it when it has left.
func TestTheLastMailOutlivesItsAddress(t *testing.T) {
	w := newWorld(t)
	w.register("acme")
	w.run()
	w.publish("acme", &events.PurgeStarted{})
	testkit.WaitFor(t, soon, "the last mail is held", func() bool { return w.states()["held"] == 1 })
	if err := w.vault.Shred(t.Context(), w.db, "acme", 1); err != nil {
		t.Fatal(err)
	}
	w.mail.Stop()
	w.publish("acme", &events.TenantPurged{Certificate: "certificates/acme/1.json"})
	testkit.WaitFor(t, soon, "it is released", func() bool { return w.states()["queued"] == 1 })
	w.mail.Start()
	w.wantMails("acme", "acme has been deleted")
	if body := w.mail.Mails()[0].Body; !strings.Contains(body, "certificates/acme/1.json") {
		t.Errorf("the certificate is not in the mail:\n%s", body)
	}
	testkit.WaitFor(t, soon, "it is noted as sent", func() bool { return w.states()["sent"] == 1 })
	var left int
	err := w.db.QueryRow(t.Context(), `SELECT count(*) FROM notifier.messages m WHERE m::text LIKE '%@example.com%'`).Scan(&left)
	if err != nil || left != 0 {
		t.Errorf("%d messages still hold an address, %v", left, err)
	}
}

func TestTwoNotifiersShareTheWork(t *testing.T) {
	w := newWorld(t)
	const tenants = 150
	for i := range tenants {
		tenant := fmt.Sprintf("t%d", i)
		w.register(tenant)
		w.publish(tenant, &events.TenantActivated{Plan: "free"})
	}
	w.run()
	w.run()
	testkit.WaitFor(t, soon, "all mails have left", func() bool { return w.states()["sent"] == tenants })
	ids := map[string]bool{}
	for _, m := range w.mail.Mails() {
		ids[m.Header.Get("Message-Id")] = true
	}
	if len(ids) != tenants || len(w.mail.Mails()) != tenants {
		t.Errorf("%d mails with %d ids for %d messages", len(w.mail.Mails()), len(ids), tenants)
	}
}
