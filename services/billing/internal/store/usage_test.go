package store_test

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/store"
	"tenure/services/billing/migrations"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/plans"
	"tenure/shared/testkit"
)

func open(t testing.TB) (*store.Store, *pgxpool.Pool, *eventlog.Log) {
	t.Helper()
	url := testkit.Postgres(t)
	if err := pg.Migrate(t.Context(), url, "billing", migrations.Files); err != nil {
		t.Fatal(err)
	}
	db, err := pg.Open(t.Context(), url, "billing")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	log, err := eventlog.Open(t.Context(), db, eventlog.Config{Service: "billing"})
	if err != nil {
		t.Fatal(err)
	}
	return store.New(db, log), db, log
}

func TestUseIsCountedOnceByItsID(t *testing.T) {
	s, db, log := open(t)
	month := thisMonth(t, db)
	query := func(id string) store.Use {
		return store.Use{Tenant: "acme", ID: id, Metric: "queries", Period: month, Quantity: 10}
	}
	batches := [][]store.Use{
		{query("1"), query("2"), query("1")}, // twice in a batch
		{query("2"), query("3")},             // and over batches
		{{Tenant: "acme", ID: "old", Metric: "queries", Period: "2020-01", Quantity: 1000}},
		{{Tenant: "acme", ID: "d1", Metric: "documents", Quantity: 5}, {Tenant: "acme", ID: "d2", Metric: "documents", Quantity: -2}},
		{{Tenant: "acme", ID: "s1", Metric: "storage_gb", Quantity: 0.1}, {Tenant: "acme", ID: "s2", Metric: "storage_gb", Quantity: 0.2}},
		{{Tenant: "other", ID: "1", Metric: "queries", Period: month, Quantity: 1}},
		nil,
	}
	for _, uses := range batches {
		if err := s.Count(t.Context(), uses); err != nil {
			t.Fatal(err)
		}
	}
	if told, err := s.Report(t.Context(), 10, plans.Default()); err != nil || told != 2 {
		t.Fatalf("told of %d tenants, %v", told, err)
	}
	want := events.UsageUpdated{Queries: 30, Documents: 3, StorageGB: 0.3, Period: month}
	if got := lastUsage(t, db, log, "acme"); got != want {
		t.Errorf("told %+v, want %+v", got, want)
	}
}

func TestUsageIsToldWhenItChangedAndOnceASecond(t *testing.T) {
	s, db, _ := open(t)
	use := store.Use{Tenant: "acme", ID: "1", Metric: "documents", Quantity: 1}
	report := func() int {
		t.Helper()
		told, err := s.Report(t.Context(), 10, plans.Default())
		if err != nil {
			t.Fatal(err)
		}
		return told
	}
	count := func(id string) {
		t.Helper()
		use.ID = id
		if err := s.Count(t.Context(), []store.Use{use}); err != nil {
			t.Fatal(err)
		}
	}
	count("1")
	if first, again := report(), report(); first != 1 || again != 0 {
		t.Errorf("told %d times, then %d", first, again)
	}
	count("1") // a duplicate changes nothing
	if n := report(); n != 0 {
		t.Errorf("told of a duplicate")
	}
	count("2")
	for _, tt := range []struct {
		ago  string // less than a second, with room for a slow machine
		want int
	}{{"-1 hour", 0}, {"1 second", 1}} {
		if _, err := db.Exec(t.Context(), `UPDATE usage_reports SET told_at = now() - $1::interval`, tt.ago); err != nil {
			t.Fatal(err)
		}
		if n := report(); n != tt.want {
			t.Errorf("told %d times when the last was %s ago, want %d", n, tt.ago, tt.want)
		}
	}
}

func TestNewLifeBeginsWithNothingUsed(t *testing.T) {
	s, db, log := open(t)
	count := func(id string) {
		t.Helper()
		if err := s.Count(t.Context(), []store.Use{{Tenant: "acme", ID: id, Metric: "documents", Quantity: 7}}); err != nil {
			t.Fatal(err)
		}
	}
	count("1")
	err := pg.WithTx(t.Context(), db, func(tx pgx.Tx) error { return s.ForgetUsage(t.Context(), tx, "acme") })
	if err != nil {
		t.Fatal(err)
	}
	told := func() int64 {
		t.Helper()
		if _, err := s.Report(t.Context(), 10, plans.Default()); err != nil {
			t.Fatal(err)
		}
		return lastUsage(t, db, log, "acme").Documents
	}
	if n := told(); n != 0 {
		t.Errorf("told %d documents of the old life", n)
	}
	if _, err := db.Exec(t.Context(), `UPDATE usage_reports SET told_at = '-infinity'`); err != nil {
		t.Fatal(err)
	}
	count("1") // counted in the old life
	count("2")
	if n := told(); n != 7 {
		t.Errorf("%d documents, want 7", n)
	}
}

// TestFourPublishersCountOnce: several processes count batches that overlap, at once.
func TestFourPublishersCountOnce(t *testing.T) {
	s, db, _ := open(t)
	var counting sync.WaitGroup
	for p := range 4 {
		counting.Go(func() {
			for first := 0; first < 2500; first += 500 {
				var uses []store.Use
				for i := first; i < first+500; i++ {
					id := p*2475 + i // the last 25 are the next publisher's first: 1% in all
					uses = append(uses, store.Use{Tenant: "acme", ID: strconv.Itoa(id % 9900), Metric: "queries", Period: "2026-01", Quantity: 0.1})
				}
				if err := s.Count(t.Context(), uses); err != nil {
					t.Error(err)
				}
			}
		})
	}
	counting.Wait()
	var total string
	if err := db.QueryRow(t.Context(), `SELECT quantity FROM usage_totals`).Scan(&total); err != nil || total != "990.0" {
		t.Errorf("%s were counted, want 990.0, %v", total, err)
	}
}

func TestLimitsAreToldOncePerShareAndMonth(t *testing.T) {
	s, db, log := open(t)
	month := thisMonth(t, db)
	for tenant, agreed := range map[string]plan.Agreement{
		"acme": {Plan: "free", State: plan.Live}, "gone": {Plan: "free", State: plan.Ended}, "vast": {Plan: "enterprise", State: plan.Live},
	} {
		err := pg.WithTx(t.Context(), db, func(tx pgx.Tx) error {
			return s.Agree(t.Context(), tx, tenant, 1, func(plan.Agreement) plan.Agreement { agreed.Tenant = tenant; return agreed })
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	uses := 0
	// count counts for every tenant, and returns what acme was told of its limits since.
	count := func(metric string, quantity float64) (told []string) {
		t.Helper()
		before := len(streamOf(t, db, log, "acme"))
		for _, tenant := range []string{"acme", "gone", "vast", "unknown"} {
			uses++
			use := store.Use{Tenant: tenant, ID: strconv.Itoa(uses), Metric: metric, Quantity: quantity}
			if metric == "queries" {
				use.Period = month
			}
			if err := s.Count(t.Context(), []store.Use{use}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.Exec(t.Context(), `UPDATE usage_reports SET told_at = '-infinity'`); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Report(t.Context(), 10, plans.Default()); err != nil {
			t.Fatal(err)
		}
		for _, p := range streamOf(t, db, log, "acme")[before:] {
			if alert, ok := p.(*events.UsageThresholdReached); ok {
				told = append(told, fmt.Sprintf("%s %d%% %s", alert.Metric, alert.Percent, alert.Period))
			}
		}
		return told
	}
	for _, step := range []struct {
		metric   string
		quantity float64
		want     []string
	}{
		{"documents", 39, nil},
		{"documents", 1, []string{"documents 80% "}},
		{"documents", 5, nil},
		{"documents", -20, nil},
		{"documents", 20, nil}, // the same month
		{"documents", 100, []string{"documents 100% "}},
		{"queries", 100, []string{"queries 80% " + month, "queries 100% " + month}},
	} {
		if got := count(step.metric, step.quantity); !slices.Equal(got, step.want) {
			t.Errorf("%v %s: told %q, want %q", step.quantity, step.metric, got, step.want)
		}
	}
	if _, err := db.Exec(t.Context(), `UPDATE usage_alerts SET period = '2020-01' WHERE metric = 'documents'`); err != nil {
		t.Fatal(err)
	}
	if got, want := count("storage_gb", 0.01), []string{"documents 80% ", "documents 100% "}; !slices.Equal(got, want) {
		t.Errorf("a month later told %q, want %q", got, want)
	}
	for _, other := range []string{"gone", "vast", "unknown"} {
		for _, p := range streamOf(t, db, log, other) {
			if _, ok := p.(*events.UsageThresholdReached); ok {
				t.Errorf("%s has no limits and is told %+v", other, p)
			}
		}
	}
}

func TestPruneForgetsWhatCannotComeAgain(t *testing.T) {
	s, db, _ := open(t)
	for id, age := range map[string]string{"new": "0", "late": "36 days", "old": "38 days", "older": "50 days"} {
		if err := s.Count(t.Context(), []store.Use{{Tenant: "acme", ID: id, Metric: "documents", Quantity: 1}}); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(t.Context(), `UPDATE usage_events SET taken_at = now() - $2::interval WHERE id = $1`, id, age); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int{1, 1, 0} {
		if n, err := s.PruneUsage(t.Context(), 1); err != nil || n != want {
			t.Errorf("pruned %d, %v, want %d", n, err, want)
		}
	}
	rows, err := db.Query(t.Context(), `SELECT id FROM usage_events ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || !slices.Equal(left, []string{"late", "new"}) {
		t.Errorf("left %q, %v", left, err)
	}
}

// BenchmarkCount counts batches of 1,000 uses of 100 tenants.
func BenchmarkCount(b *testing.B) {
	s, _, _ := open(b)
	const size, tenants = 1000, 100
	uses := make([]store.Use, size)
	n := 0
	for b.Loop() {
		for i := range uses {
			n++
			uses[i] = store.Use{
				Tenant: "tenant-" + strconv.Itoa(n%tenants), ID: strconv.Itoa(n), Metric: "queries", Period: "2026-01", Quantity: 1, Priced: true,
			}
		}
		if err := s.Count(b.Context(), uses); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "uses/s")
}

func thisMonth(t *testing.T, db *pgxpool.Pool) string {
	t.Helper()
	var now time.Time
	if err := db.QueryRow(t.Context(), `SELECT now()`).Scan(&now); err != nil {
		t.Fatal(err)
	}
	return now.UTC().Format("2006-01")
}

func lastUsage(t *testing.T, db *pgxpool.Pool, log *eventlog.Log, tenant string) events.UsageUpdated {
	t.Helper()
	for _, p := range slices.Backward(streamOf(t, db, log, tenant)) {
		if u, ok := p.(*events.UsageUpdated); ok {
			return *u
		}
	}
	t.Fatalf("%s was not told of its usage", tenant)
	return events.UsageUpdated{}
}

// streamOf is all that the tenant was told.
func streamOf(t *testing.T, db *pgxpool.Pool, log *eventlog.Log, tenant string) (told []events.Payload) {
	t.Helper()
	all, err := log.Read(t.Context(), db, tenant, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		p, err := e.Payload()
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, p)
	}
	return told
}
