package notifier_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"tenure/services/notifier"
	"tenure/services/notifier/internal/smtptest"
	"tenure/shared/auth"
	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/runner"
	"tenure/shared/testkit"
	"tenure/shared/vault"
)

const (
	soon = 30 * time.Second
	day  = 24 * time.Hour
)

// world is a notifier on a real database, bus and mail server; the test stands for the services that it listens to.
type world struct {
	t     testing.TB
	url   string
	db    *pgxpool.Pool
	bus   *bus.Bus
	vault *vault.Vault
	mail  *smtptest.Server
	// environ is what the notifiers are started with.
	environ runner.Environ
	day     time.Duration
	// http is of the notifier that was started last.
	http http.Handler
	// version of each tenant in the log of each service.
	version map[string]int64
}

func newWorld(t testing.TB) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{t: t, url: testkit.Postgres(t), mail: smtptest.Start(t), day: day, version: map[string]int64{}}
	w.environ = runner.Environ{"SMTP_URL": w.mail.URL()}
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
	ctx, cancel := context.WithCancel(w.t.Context())
	wait := w.runUntil(ctx)
	stop = func() {
		cancel()
		wait()
	}
	w.t.Cleanup(stop)
	return stop
}

// runUntil starts a notifier that ends with ctx; wait returns when it has.
func (w *world) runUntil(ctx context.Context) (wait func()) {
	w.t.Helper()
	verifier, err := auth.New(auth.Settings{Env: "dev"})
	if err != nil {
		w.t.Fatal(err)
	}
	mux := http.NewServeMux()
	service, err := notifier.New(w.t.Context(), runner.Deps{
		Settings: runner.Settings{Env: "dev", HTTPAddr: "127.0.0.1:8080", Day: w.day},
		Environ:  w.environ, Bus: w.bus, Vault: w.vault, Open: w.open, Auth: verifier, API: runner.NewAPI(mux, verifier), Mux: mux,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := service.Ready(w.t.Context()); err != nil {
		w.t.Errorf("ready: %v", err)
	}
	w.http = mux
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	return sync.OnceFunc(func() {
		if err := testkit.Receive(w.t, soon, ended); err != nil && w.t.Context().Err() == nil {
			w.t.Errorf("run: %v", err)
		}
	})
}

// register gives a tenant its contact.
func (w *world) register(tenant string) {
	w.t.Helper()
	contact := vault.Contact{Name: "Ada", Email: tenant + "@example.com"}
	if err := w.vault.Put(w.t.Context(), w.db, tenant, 1, contact); err != nil {
		w.t.Fatal(err)
	}
}

// publish tells what has happened now, each as the service would that the event is of.
func (w *world) publish(tenant string, payloads ...events.Payload) (last events.Event) {
	w.t.Helper()
	for _, p := range payloads {
		last = w.publishAt(time.Now(), tenant, p)
	}
	return last
}

func (w *world) publishAt(at time.Time, tenant string, p events.Payload) events.Event {
	w.t.Helper()
	e, err := events.New(p, tenant)
	if err != nil {
		w.t.Fatal(err)
	}
	log := e.Service() + " " + tenant
	w.version[log]++
	e.Sequence = w.version[log]
	e.ID, e.Source, e.Time = tenant+"."+strconv.FormatInt(e.Sequence, 10), "tenure/"+e.Service(), at
	e.CorrelationID, e.Actor = "command-1", "system:timer"
	if err := w.bus.Publish(w.t.Context(), e); err != nil {
		w.t.Fatal(err)
	}
	return e
}

// advance makes the time until open messages are due, and until they are too late, shorter by d: for them the database's
// clock has moved.
func (w *world) advance(d time.Duration) {
	w.t.Helper()
	_, err := w.db.Exec(w.t.Context(), `UPDATE notifier.messages SET due_at = due_at - $1::interval,
		next_try_at = next_try_at - $1::interval, expires_at = expires_at - $1::interval WHERE state IN ('held', 'queued')`, d)
	if err != nil {
		w.t.Fatal(err)
	}
}

// subjects are those of the mails to a tenant, in the order of arrival.
func (w *world) subjects(tenant string) []string {
	var out []string
	for _, m := range w.mail.Mails() {
		if m.To == tenant+"@example.com" {
			subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			if err != nil {
				w.t.Fatal(err)
			}
			out = append(out, subject)
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

// wantStates waits until the messages are in these states, and in no others.
func (w *world) wantStates(want map[string]int) {
	w.t.Helper()
	testkit.WaitFor(w.t, soon, fmt.Sprintf("messages are %v", want), func() bool { return cmp.Equal(want, w.states()) })
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
