package sample_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"tenure/services/connectors"
	"tenure/services/connectors/datamap"
	"tenure/services/sample"
	"tenure/shared/auth"
	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/problem"
	"tenure/shared/runner"
	"tenure/shared/testkit"
)

const soon = 30 * time.Second

// world is the whole sample on a real database and bus; the test stands for the lifecycle.
type world struct {
	t       *testing.T
	db      *pgxpool.Pool
	url     string // of the database
	nats    *testkit.NATSServer
	bus     *bus.Bus
	http    *httptest.Server
	version map[string]int64
}

// newWorld starts it; settings are added to its environment.
func newWorld(t *testing.T, settings ...runner.Environ) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{t: t, url: testkit.Postgres(t), nats: testkit.NATS(t), version: map[string]int64{}}
	var err error
	if w.bus, err = bus.Connect(ctx, bus.Config{URL: w.nats.URL(), Name: t.Name()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.bus.Close)
	if err := w.bus.EnsureTopology(ctx); err != nil {
		t.Fatal(err)
	}
	plane := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut || r.URL.Path != "/v1/participants/sample" || r.Header.Get("Authorization") != "Bearer dev" {
			t.Errorf("registration: %s %s", r.Method, r.URL)
		}
	}))
	t.Cleanup(plane.Close)
	environ := runner.Environ{"TENURE_URL": plane.URL, "TENURE_S3_BUCKET": "sample", "AWS_REGION": "us-east-1"}
	for _, s := range settings {
		maps.Copy(environ, s)
	}
	w.start(environ)
	return w
}

// start runs the sample until the test ends.
func (w *world) start(environ runner.Environ) {
	w.t.Helper()
	verifier, err := auth.New(auth.Settings{Env: "dev"})
	if err != nil {
		w.t.Fatal(err)
	}
	problem.Install()
	mux := http.NewServeMux()
	cfg := huma.DefaultConfig("test", "1")
	cfg.CreateHooks = nil // as the runner's
	api := humago.New(mux, cfg)
	api.UseMiddleware(auth.Middleware(api, verifier))
	service, err := sample.New(w.t.Context(), runner.Deps{
		Settings: runner.Settings{Env: "dev"}, Environ: environ,
		Bus: w.bus, Auth: verifier, API: api, Mux: mux, Open: w.open,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.http = httptest.NewServer(mux)
	w.t.Cleanup(w.http.Close)
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := testkit.Receive(w.t, soon, ended); err != nil {
			w.t.Errorf("run: %v", err)
		}
	})
	testkit.WaitFor(w.t, soon, "the sample is ready", func() bool { return service.Ready(w.t.Context()) == nil })
}

func (w *world) open(ctx context.Context, schema string) (*pgxpool.Pool, error) {
	if err := pg.CreateSchema(ctx, w.url, schema); err != nil {
		return nil, err
	}
	pool, err := pg.Open(ctx, w.url, schema)
	if err != nil {
		return nil, err
	}
	w.t.Cleanup(pool.Close)
	w.db = pool
	return pool, nil
}

func (w *world) publish(tenant string, p events.Payload) {
	w.t.Helper()
	w.version[tenant]++
	e, err := events.New(p, tenant)
	if err != nil {
		w.t.Fatal(err)
	}
	e.Sequence = w.version[tenant]
	e.ID, e.Source, e.Time = tenant+"."+strconv.FormatInt(e.Sequence, 10), "tenure/lifecycle", time.Now()
	if err := w.bus.Publish(w.t.Context(), e); err != nil {
		w.t.Fatal(err)
	}
}

// signUp provisions a tenant over the bus and opens the gate.
func (w *world) signUp(tenant, plan string) {
	w.t.Helper()
	answered := w.listen("tenure.events.sample." + tenant + ".>")
	w.publish(tenant, &events.StepRequested{Change: events.Change{To: "provisioning"}, StepRequest: events.StepRequest{
		StepID: tenant + "-provision", OperationID: tenant + "-op", Operation: "provision", Participant: "sample", Action: "provision",
		ToPlan: plan, Attempt: 1, Generation: 1, Deadline: time.Now().Add(time.Minute),
	}})
	if e := testkit.Receive(w.t, soon, answered); e.Name() != events.StepCompletedName {
		w.t.Fatalf("provision: %s %s", e.Type, e.Data)
	}
	w.publish(tenant, &events.TenantActivated{Change: events.Change{To: "active"}, Plan: plan})
}

// listen receives what is published from the start of the streams on.
func (w *world) listen(subject string) <-chan events.Event {
	w.t.Helper()
	js, err := jetstream.New(w.bus.Conn())
	if err != nil {
		w.t.Fatal(err)
	}
	stream, err := js.StreamNameBySubject(w.t.Context(), subject)
	if err != nil {
		w.t.Fatal(err)
	}
	consumer, err := js.OrderedConsumer(w.t.Context(), stream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}})
	if err != nil {
		w.t.Fatal(err)
	}
	out := make(chan events.Event, 1000)
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		e, err := events.Decode(msg.Headers(), msg.Data())
		if err != nil {
			w.t.Errorf("on %s: %v", msg.Subject(), err)
			return
		}
		out <- e
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(consuming.Stop)
	return out
}

// answer is what a call was answered with.
type answer struct {
	status     int
	retryAfter string
	body       map[string]any
}

func (w *world) call(method, path, token, body string) answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.http.URL+path, bytes.NewBufferString(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, retryAfter: resp.Header.Get("Retry-After")}
	if err := json.Unmarshal(raw, &a.body); err != nil {
		w.t.Fatalf("%s %s: %s", method, path, raw)
	}
	return a
}

func TestDocumentsOverHTTP(t *testing.T) {
	w := newWorld(t)
	w.signUp("acme", "free")
	for i := range 5 {
		a := w.call("POST", "/sample/acme/documents", "", fmt.Sprintf(`{"name":"doc %d","content":"about whales"}`, i))
		if a.status != http.StatusCreated || a.body["id"] == "" || a.body["name"] != fmt.Sprintf("doc %d", i) {
			t.Fatalf("add: %+v", a)
		}
	}
	var names []any
	for cursor := ""; ; {
		a := w.call("GET", "/sample/acme/documents?limit=2&cursor="+cursor, "", "")
		for _, item := range a.body["items"].([]any) {
			names = append(names, item.(map[string]any)["name"])
		}
		next, more := a.body["next_cursor"].(string)
		if !more {
			break
		}
		cursor = next
	}
	if diff := cmp.Diff([]any{"doc 0", "doc 1", "doc 2", "doc 3", "doc 4"}, names); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	if a := w.call("POST", "/sample/acme/query", "", `{"q":"WHALES"}`); a.status != http.StatusOK || len(a.body["results"].([]any)) != 5 {
		t.Errorf("query: %+v", a)
	}
	if a := w.call("POST", "/sample/acme/seed", "", `{"documents":3,"bytes_each":100,"vectors":2}`); a.status != http.StatusOK {
		t.Errorf("seed: %+v", a)
	}
	want := map[string]any{"queries": 1., "documents": 8., "storage_gb": 360e-9, "limits": map[string]any{"queries": 100., "documents": 50., "storage_gb": 0.1}}
	if diff := cmp.Diff(want, w.call("GET", "/sample/acme/usage", "", "").body); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
}

func TestRefusalsOverHTTP(t *testing.T) {
	w := newWorld(t)
	w.signUp("acme", "free")
	for _, test := range []struct {
		method, path, token, body string
		status                    int
		code, retryAfter          string
	}{
		{"GET", "/sample/nobody/documents", "", "", 404, "unknown_tenant", ""},
		{"GET", "/sample/acme/documents", "dev", "", 200, "", ""},
		{"GET", "/sample/acme/documents", "dev:acme", "", 200, "", ""},
		{"GET", "/sample/acme/documents", "dev:other", "", 404, "unknown_tenant", ""},
		{"GET", "/sample/acme/documents", "forged", "", 401, "unauthenticated", ""},
		{"GET", "/sample/a.b/documents", "", "", 422, "validation_failed", ""},
		{"POST", "/sample/acme/documents", "", `{"name":"x"}`, 422, "validation_failed", ""},
		{"POST", "/sample/acme/documents", "", `{"name":"x","content":"\u0000"}`, 422, "validation_failed", ""},
		{"POST", "/sample/acme/query", "", `{"q":"\u0000"}`, 422, "validation_failed", ""},
		{"POST", "/sample/acme/seed", "", `{"documents":51}`, 429, "quota_documents", ""},
		{"POST", "/sample/_control", "", `{"drain":"sometimes"}`, 422, "validation_failed", ""},
	} {
		a := w.call(test.method, test.path, test.token, test.body)
		code, _ := a.body["code"].(string)
		if a.status != test.status || code != test.code || a.retryAfter != test.retryAfter {
			t.Errorf("%s %s %s as %q: %+v", test.method, test.path, test.body, test.token, a)
		}
	}
	w.publish("acme", &events.ReactivationStarted{Change: events.Change{To: "reactivating"}})
	testkit.WaitFor(t, soon, "the gate has closed", func() bool { return w.call("GET", "/sample/acme/usage", "", "").status == 503 })
	if a := w.call("POST", "/sample/acme/documents", "", `{"name":"x","content":"y"}`); a.retryAfter != "2" || a.body["code"] != "reactivating" {
		t.Errorf("while reactivating: %+v", a)
	}
}

func TestControl(t *testing.T) {
	w := newWorld(t)
	want := map[string]any{"drain": "never", "switch_ms": 1500., "fail_next": ""}
	w.call("POST", "/sample/_control", "", `{"drain":"never"}`)
	if diff := cmp.Diff(want, w.call("POST", "/sample/_control", "", `{"switch_ms":1500}`).body); diff != "" {
		t.Errorf("control (-want +got):\n%s", diff)
	}
	want = map[string]any{"drain": "always", "switch_ms": 1500., "fail_next": "switch"}
	if diff := cmp.Diff(want, w.call("POST", "/sample/_control", "", `{"drain":"always","fail_next":"switch"}`).body); diff != "" {
		t.Errorf("control (-want +got):\n%s", diff)
	}
}

// Usage that was recorded while the bus was away arrives when it is back, each use once by its id.
func TestUsageSurvivesAnOutageOfTheBus(t *testing.T) {
	w := newWorld(t)
	w.signUp("acme", "free")
	w.call("POST", "/sample/acme/documents", "", `{"name":"x","content":"0123456789"}`)
	w.nats.Stop()
	testkit.WaitFor(t, soon, "the bus is lost", func() bool { return !w.bus.Connected() })
	for range 3 {
		if a := w.call("POST", "/sample/acme/query", "", `{"q":"x"}`); a.status != http.StatusOK {
			t.Errorf("a query without the bus: %+v", a)
		}
	}
	w.nats.Start()
	used := w.collect(5)
	want := map[string]float64{"documents": 1, "storage_gb": 10e-9, "queries": 3}
	if diff := cmp.Diff(want, used); diff != "" {
		t.Errorf("metered (-want +got):\n%s", diff)
	}
	testkit.WaitFor(t, soon, "the outbox is empty", func() bool {
		var n int
		if err := w.db.QueryRow(t.Context(), `SELECT count(*) FROM outbox`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 0
	})
}

// collect adds up n different uses of acme by metric.
func (w *world) collect(n int) map[string]float64 {
	w.t.Helper()
	testkit.WaitFor(w.t, soon, "the bus is back", w.bus.Connected)
	uses := w.listen("tenure.usage.acme")
	sums, seen := map[string]float64{}, map[string]bool{}
	for len(seen) < n {
		e := testkit.Receive(w.t, soon, uses)
		payload, err := e.Payload()
		if err != nil {
			w.t.Fatal(err)
		}
		if use := payload.(*events.UsageRecorded); !seen[e.ID] {
			seen[e.ID] = true
			sums[use.Metric] += use.Quantity
		}
	}
	return sums
}

// The data map must name every table with tenants' rows: one that it forgets survives their deletion.
func TestTheDataMapIsComplete(t *testing.T) {
	w := newWorld(t)
	w.signUp("acme", "free")
	w.signUp("other", "free")
	for _, tenant := range []string{"acme", "other"} {
		w.call("POST", "/sample/"+tenant+"/seed", "", `{"documents":3,"bytes_each":10,"vectors":2}`)
	}
	parsed, err := datamap.Parse(sample.DataMap)
	if err != nil {
		t.Fatal(err)
	}
	parsed.Stores = parsed.Stores[:1] // the tables; the archive is in S3
	stores, err := parsed.Open(t.Context(), func(string) string { return w.url })
	if err != nil {
		t.Fatal(err)
	}
	defer stores.Close()
	if _, err := stores[0].Erase(t.Context(), connectors.Tenant("acme")); err != nil {
		t.Fatal(err)
	}
	for _, table := range w.tables() {
		var erased, kept int
		err := w.db.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE tenant_id = 'acme'), count(*) FILTER (WHERE tenant_id = 'other') FROM `+table).Scan(&erased, &kept)
		if err != nil || erased != 0 || kept == 0 && table != "outbox" {
			t.Errorf("%s holds %d rows of the erased tenant and %d of the other, %v", table, erased, kept, err)
		}
	}
}

// tables are those with a tenant in them.
func (w *world) tables() []string {
	w.t.Helper()
	rows, err := w.db.Query(w.t.Context(), `SELECT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
		WHERE relnamespace = 'sample'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition AND attname = 'tenant_id'`)
	if err != nil {
		w.t.Fatal(err)
	}
	var tables []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			w.t.Fatal(err)
		}
		tables = append(tables, name)
	}
	if err := rows.Err(); err != nil || len(tables) < 7 {
		w.t.Fatalf("tables: %v, %v", tables, err)
	}
	return tables
}

func TestTheSampleIsForDevelopmentAlone(t *testing.T) {
	if _, err := sample.New(t.Context(), runner.Deps{Settings: runner.Settings{Env: "production"}}); err == nil {
		t.Error("the sample runs in production")
	}
}
