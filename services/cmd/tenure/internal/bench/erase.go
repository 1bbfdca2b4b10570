package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"tenure/services/connectors"
	"tenure/services/connectors/postgres"
	"tenure/services/devstack"
)

const (
	// eraseTables are one table for all, and one in which the tenant that leaves has a partition of its own.
	eraseTables = `
	CREATE SCHEMA bench;
	CREATE TABLE bench.shared (tenant_id text, id bigint, name text, content text, metadata jsonb, PRIMARY KEY (tenant_id, id));
	CREATE TABLE bench.split (LIKE bench.shared INCLUDING ALL) PARTITION BY LIST (tenant_id);
	CREATE TABLE bench.split_others PARTITION OF bench.split DEFAULT;
	CREATE TABLE bench.template AS SELECT n AS id, 'document ' || n AS name, jsonb_build_object('n', n, 'tag', md5(n::text)) AS metadata,
		(SELECT string_agg(md5(n || '.' || i), ' ') FROM generate_series(1, 45) AS i) AS content FROM generate_series(1, %d) AS n`
	eraseFill = `INSERT INTO bench.%s SELECT $1, id, name, content, metadata FROM bench.template LIMIT $2`

	leaver      = "leaver"
	eraseRows   = 400_000
	eraseOthers = 20
	otherRows   = 1000 // of each of them
	eraseRounds = 3

	// The others' calls begin at fixed times, whatever became of those before: one that must wait counts from its time.
	othersRate  = 1000 // per second
	othersConns = 16
	quietTime   = 5 * time.Second
)

// eraser measures how one tenant's rows go, and what the others notice.
type eraser struct {
	out io.Writer
	db  *pgxpool.Pool
}

// Erase measures the connector's Erase beside a plain DELETE of the same rows and the drop of a partition, while other
// tenants write to the same table.
func Erase(ctx context.Context, o Options) error {
	dir, err := os.MkdirTemp("", "tenure-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	say(o.Out, "Starting PostgreSQL (fsync on)...")
	stack, err := devstack.Start(ctx, devstack.Config{
		Dir: dir, HTTPAddr: "127.0.0.1:0", NATSAddr: "127.0.0.1:0", StripeAddr: "127.0.0.1:0", Log: slog.Default(),
	})
	if err != nil {
		return err
	}
	defer stack.Stop()
	cfg, err := pgxpool.ParseConfig(stack.Env()["DATABASE_URL"])
	if err != nil {
		return err
	}
	cfg.MaxConns = othersConns + 2
	e := &eraser{out: o.Out}
	if e.db, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return err
	}
	defer e.db.Close()
	return e.measure(ctx)
}

// way is one way to erase.
type way struct {
	name, table string
	erase       func(ctx context.Context) error
}

func (e *eraser) ways() []way {
	connector := func(table string, drop bool) func(context.Context) error {
		store := postgres.New("bench", e.db, []postgres.Table{{
			Name: "bench." + table, Tenant: "tenant_id", Key: []string{"id"}, DropPartition: drop,
		}})
		return func(ctx context.Context) error {
			_, err := store.Erase(ctx, connectors.Tenant(leaver))
			return err
		}
	}
	return []way{
		{"plain DELETE", "shared", func(ctx context.Context) error {
			_, err := e.db.Exec(ctx, `DELETE FROM bench.shared WHERE tenant_id = $1`, leaver)
			return err
		}},
		{"Erase", "shared", connector("shared", false)},
		{"Erase, own partition", "split", connector("split", true)},
	}
}

// outcome is what the rounds of one way came to.
type outcome struct {
	took          latencies // of the erasures
	quiet, during latencies // of the others' calls
}

func (e *eraser) measure(ctx context.Context) error {
	ways := e.ways()
	say(e.out, "Writing %d rows of 1.6 KB for each of %d erasures...", eraseRows, eraseRounds*len(ways))
	if err := e.prepare(ctx); err != nil {
		return err
	}
	all := make([]outcome, len(ways))
	for range eraseRounds {
		for i, w := range ways {
			took, quiet, during, err := e.round(ctx, w)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			o := &all[i]
			o.took, o.quiet, o.during = append(o.took, took), append(o.quiet, quiet...), append(o.during, during...)
		}
	}
	say(e.out, "")
	say(e.out, "Erasure of one tenant's rows, the median of %d; the others update %d rows a second in the same table:", eraseRounds, othersRate)
	for i, w := range ways {
		o := all[i]
		say(e.out, "  %-21s %8.0f rows/s = %5.2f x plain DELETE", w.name, eraseRows/o.took.at(0.5).Seconds(), ratio(all[0].took.at(0.5), o.took.at(0.5)))
		say(e.out, "    others before       %s", o.quiet)
		say(e.out, "    others meanwhile    %s   p99 %+.0f%%", o.during, 100*(ratio(o.during.at(0.99), o.quiet.at(0.99))-1))
	}
	return nil
}

// prepare makes the tables and the tenants that stay.
func (e *eraser) prepare(ctx context.Context) error {
	if _, err := e.db.Exec(ctx, fmt.Sprintf(eraseTables, eraseRows)); err != nil {
		return err
	}
	for _, table := range []string{"shared", "split"} {
		for i := range eraseOthers {
			if _, err := e.db.Exec(ctx, fmt.Sprintf(eraseFill, table), name(i), otherRows); err != nil {
				return err
			}
		}
	}
	return nil
}

// round fills the leaver's rows, listens to the others alone, and then while the rows go.
func (e *eraser) round(ctx context.Context, w way) (took time.Duration, quiet, during latencies, err error) {
	if w.table == "split" {
		if _, err := e.db.Exec(ctx, `CREATE TABLE IF NOT EXISTS bench.split_leaver PARTITION OF bench.split FOR VALUES IN ('`+leaver+`')`); err != nil {
			return 0, nil, nil, err
		}
	}
	if _, err := e.db.Exec(ctx, fmt.Sprintf(eraseFill, w.table), leaver, eraseRows); err != nil {
		return 0, nil, nil, err
	}
	// What filling the table left to do would be taken for the erasure's.
	for _, sql := range []string{`VACUUM (ANALYZE) bench.` + w.table, `CHECKPOINT`} {
		if _, err := e.db.Exec(ctx, sql); err != nil {
			return 0, nil, nil, err
		}
	}
	if quiet, err = e.others(ctx, w.table, listen); err != nil {
		return 0, nil, nil, err
	}
	during, err = e.others(ctx, w.table, func(ctx context.Context) error {
		start := time.Now()
		defer func() { took = time.Since(start) }()
		return w.erase(ctx)
	})
	return took, quiet, during, err
}

// others lets the other tenants write while fn runs, and tells how long each call took from the time at which it was due.
func (e *eraser) others(ctx context.Context, table string, fn func(context.Context) error) (latencies, error) {
	calls, ctx := errgroup.WithContext(ctx)
	due := make(chan time.Time, othersRate*60)
	took := make([]latencies, othersConns)
	for c := range took {
		calls.Go(func() error {
			for at := range due {
				_, err := e.db.Exec(ctx, `UPDATE bench.`+table+` SET metadata = jsonb_build_object('n', $3::int) WHERE tenant_id = $1 AND id = $2`,
					name(rand.IntN(eraseOthers)), 1+rand.IntN(otherRows), rand.IntN(1000))
				if err != nil {
					return err
				}
				took[c] = append(took[c], time.Since(at))
			}
			return nil
		})
	}
	done := make(chan struct{})
	calls.Go(func() error {
		defer close(due)
		fall(due, done)
		return nil
	})
	err := fn(ctx)
	close(done)
	return slices.Concat(took...), errors.Join(calls.Wait(), err)
}

// fall sends the times at which calls are due, each when it has come, until done.
func fall(due chan<- time.Time, done <-chan struct{}) {
	tick := time.NewTicker(time.Second / othersRate)
	defer tick.Stop()
	for next := time.Now(); ; {
		select {
		case <-done:
			return
		case now := <-tick.C: // one tick may stand for several when the machine is busy
			for ; next.Before(now); next = next.Add(time.Second / othersRate) {
				due <- next
			}
		}
	}
}

// listen waits for as long as the others are heard alone.
func listen(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(quietTime):
		return nil
	}
}
