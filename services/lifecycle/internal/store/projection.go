package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/pg"
)

// TimerRow is one armed deadline of one tenant.
type TimerRow struct {
	Tenant string
	tenant.Timer
}

// Projection collects what a batch of commands changes beside the log, to be written in one round trip.
type Projection struct {
	armed    []TimerRow
	disarmed []TimerRow
	ops      []tenant.OperationView
	looked   []string
	lookDue  []time.Time
}

// Timers notes how the armed deadlines of a tenant changed.
func (p *Projection) Timers(id string, before, after []tenant.Timer) {
	was := make(map[string]tenant.Timer, len(before))
	for _, t := range before {
		was[t.Kind] = t
	}
	for _, t := range after {
		if old, ok := was[t.Kind]; !ok || !old.Due.Equal(t.Due) || old.Generation != t.Generation {
			p.armed = append(p.armed, TimerRow{id, t})
		}
		delete(was, t.Kind)
	}
	for _, t := range was {
		p.disarmed = append(p.disarmed, TimerRow{id, t})
	}
}

// Operation notes an operation's new view.
func (p *Projection) Operation(v tenant.OperationView) { p.ops = append(p.ops, v) }

// Look notes when to look for the first time whether anybody uses a tenant.
func (p *Projection) Look(id string, due time.Time) {
	p.looked, p.lookDue = append(p.looked, id), append(p.lookDue, due)
}

// Queue adds to b the statements that store everything.
func (p *Projection) Queue(b *pgx.Batch, now time.Time) error {
	if len(p.disarmed) > 0 {
		c := columnsOf(p.disarmed)
		b.Queue(`DELETE FROM timers t USING unnest($1::text[], $2::text[]) AS d(tenant, kind)
			WHERE t.tenant = d.tenant AND t.kind = d.kind`, c.tenant, c.kind)
	}
	if len(p.armed) > 0 {
		c := columnsOf(p.armed)
		b.Queue(`INSERT INTO timers (tenant, kind, due, generation)
			SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[])
			ON CONFLICT (tenant, kind) DO UPDATE SET due = excluded.due, generation = excluded.generation`,
			c.tenant, c.kind, c.due, c.generation)
	}
	if len(p.looked) > 0 {
		b.Queue(`INSERT INTO idle_looks (tenant, due) SELECT * FROM unnest($1::text[], $2::timestamptz[])
			ON CONFLICT (tenant) DO NOTHING`, p.looked, p.lookDue)
	}
	if len(p.ops) > 0 {
		return p.queueOperations(b, now)
	}
	return nil
}

func (p *Projection) queueOperations(b *pgx.Batch, now time.Time) error {
	var id, owner, kind, status, view []string
	for _, v := range p.ops {
		body, err := json.Marshal(v)
		if err != nil {
			return err
		}
		id, owner, kind = append(id, v.ID), append(owner, v.Tenant), append(kind, v.Kind)
		status, view = append(status, v.Status), append(view, string(body))
	}
	b.Queue(`INSERT INTO operations (id, tenant, kind, status, view, updated_at)
		SELECT id, tenant, kind, status, view::jsonb, $6
		FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS o(id, tenant, kind, status, view)
		ON CONFLICT (id) DO UPDATE SET status = excluded.status, view = excluded.view, updated_at = excluded.updated_at`,
		id, owner, kind, status, view, now)
	return nil
}

type timerColumns struct {
	tenant, kind []string
	due          []time.Time
	generation   []int64
}

func columnsOf(rows []TimerRow) timerColumns {
	var c timerColumns
	for _, r := range rows {
		c.tenant, c.kind = append(c.tenant, r.Tenant), append(c.kind, r.Kind)
		c.due, c.generation = append(c.due, r.Due), append(c.generation, r.Generation)
	}
	return c
}

// DueTimers returns deadlines that have passed by the database's clock, oldest first.
func DueTimers(ctx context.Context, q pg.Querier, limit int) ([]TimerRow, error) {
	rows, err := q.Query(ctx, `SELECT tenant, kind, due, generation FROM timers WHERE due <= clock_timestamp() ORDER BY due LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("read due timers: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (t TimerRow, err error) {
		err = row.Scan(&t.Tenant, &t.Kind, &t.Due, &t.Generation)
		t.Due = t.Due.UTC()
		return t, err
	})
}
