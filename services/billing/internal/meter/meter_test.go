package meter_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/billing/internal/meter"
	"tenure/services/billing/internal/store"
	"tenure/services/billing/migrations"
	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/pg"
	"tenure/shared/testkit"
)

func message(t *testing.T, id string, u events.UsageRecorded) bus.Message {
	t.Helper()
	e, err := events.New(&u, "acme")
	if err != nil {
		t.Fatal(err)
	}
	e.ID = id
	return bus.Message{Event: e}
}

func TestBatchIsCountedUpToWhatCannotBe(t *testing.T) {
	url := testkit.Postgres(t)
	if err := pg.Migrate(t.Context(), url, "billing", migrations.Files); err != nil {
		t.Fatal(err)
	}
	db, err := pg.Open(t.Context(), url, "billing")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	// The last moment of January is February in the zone that it is written in.
	january := time.Date(2026, 2, 1, 0, 59, 59, 0, time.FixedZone("", 3600))
	now := january.AddDate(0, 0, 35)
	handle := meter.Handler(store.New(db, nil), offer, func() time.Time { return now })
	good := []bus.Message{
		message(t, "1", events.UsageRecorded{Metric: "queries", Quantity: 2, Time: january}),
		message(t, "2", events.UsageRecorded{Metric: "documents", Quantity: -1, Time: january}),
	}
	for name, bad := range map[string]events.UsageRecorded{
		"no metric":  {Quantity: 1, Time: january},
		"odd metric": {Metric: "a b", Quantity: 1, Time: january},
		"no time":    {Metric: "queries", Quantity: 1},
		"too much":   {Metric: "queries", Quantity: 1e300, Time: january},
		"too late":   {Metric: "queries", Quantity: 1, Time: january.Add(-time.Second)},
		"too early":  {Metric: "queries", Quantity: 1, Time: now.Add(25 * time.Hour)},
	} {
		done, err := handle(t.Context(), append(good[:2:2], message(t, "bad", bad), message(t, "3", events.UsageRecorded{})))
		if done != 2 || !fault.IsPermanent(err) {
			t.Errorf("%s: %d done, %v; want 2 and a permanent fault", name, done, err)
		}
	}
	rows, err := db.Query(t.Context(), `SELECT metric || ' ' || period || ' ' || quantity FROM usage_totals ORDER BY metric`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(got) != 2 || got[0] != "documents  -1" || got[1] != "queries 2026-01 2" {
		t.Errorf("totals %q, %v", got, err)
	}
}
