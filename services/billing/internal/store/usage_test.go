package store_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/billing/internal/store"
	"tenure/services/billing/migrations"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/plans"
	"tenure/shared/testkit"
)

func open(t *testing.T) (*store.Store, *pgxpool.Pool, *eventlog.Log) {
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
	all, err := log.Read(t.Context(), db, tenant, 0, 10)
	if err != nil || len(all) == 0 {
		t.Fatalf("told of %s: %v, %v", tenant, all, err)
	}
	p, err := all[len(all)-1].Payload()
	if err != nil {
		t.Fatal(err)
	}
	return *p.(*events.UsageUpdated)
}
