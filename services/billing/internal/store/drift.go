package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/billing/internal/plan"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/pg"
)

// LifeID names a life of a tenant; with Generation 0, a customer that is nobody's, and the tenant that it names.
type LifeID struct {
	Tenant     string
	Generation int64
	CustomerID string // of nobody's customer alone
}

// OpenDrift is a difference that was there at the last look.
type OpenDrift struct {
	LifeID
	plan.Difference
	// Version of the agreement that it was found at.
	Version   int64
	FirstSeen time.Time
	// Told is false while billing sets it right for the first time.
	Told    bool
	refused int
}

// curing begins the ids of works that set drift right.
const curing = "drift/"

// WorkID names the next try to set it right: the same one until its outcome is stored.
func (d OpenDrift) WorkID() string {
	seen := strconv.FormatInt(d.FirstSeen.UnixMicro(), 10)
	return curing + strings.Join([]string{string(d.Kind), d.SubscriptionID, seen, strconv.Itoa(d.refused)}, "/")
}

const driftColumns = `tenant, generation, customer_id, kind, subscription_id, detail, plan, live_plan, version, first_seen,
	told_at IS NOT NULL, refused`

func scanDrift(row pgx.CollectableRow) (OpenDrift, error) {
	var d OpenDrift
	err := row.Scan(&d.Tenant, &d.Generation, &d.CustomerID, &d.Kind, &d.SubscriptionID, &d.Detail, &d.Plan, &d.LivePlan,
		&d.Version, &d.FirstSeen, &d.Told, &d.refused)
	d.FirstSeen = d.FirstSeen.UTC()
	return d, err
}

// SeeDrift writes down that a difference is there, at this version of the agreement. One that was closed before begins
// anew.
func (s *Store) SeeDrift(ctx context.Context, id LifeID, version int64, d plan.Difference) (OpenDrift, error) {
	rows, err := s.db.Query(ctx, `INSERT INTO drift AS d (tenant, generation, customer_id, kind, subscription_id, detail, plan, live_plan,
			version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (tenant, generation, customer_id, kind, subscription_id) DO UPDATE SET
			detail = excluded.detail, plan = excluded.plan, live_plan = excluded.live_plan,
			version = excluded.version, last_seen = now(),
			first_seen = CASE WHEN d.closed_at IS NULL THEN d.first_seen ELSE now() END,
			told_at = CASE WHEN d.closed_at IS NULL THEN d.told_at END,
			refused = CASE WHEN d.closed_at IS NULL THEN d.refused ELSE 0 END, closed_at = NULL, healed = false
		RETURNING `+driftColumns,
		id.Tenant, id.Generation, id.CustomerID, d.Kind, d.SubscriptionID, d.Detail, d.Plan, d.LivePlan, version)
	if err != nil {
		return OpenDrift{}, fmt.Errorf("write down drift of %s: %w", id.Tenant, err)
	}
	seen, err := pgx.CollectExactlyOneRow(rows, scanDrift)
	if err != nil {
		return OpenDrift{}, fmt.Errorf("write down drift of %s: %w", id.Tenant, err)
	}
	return seen, nil
}

// OpenDrift returns what was found in a life and was not closed since.
func (s *Store) OpenDrift(ctx context.Context, id LifeID) ([]OpenDrift, error) {
	return s.drift(ctx, `closed_at IS NULL AND tenant = $1 AND generation = $2 AND customer_id = $3`,
		id.Tenant, id.Generation, id.CustomerID)
}

// AllOpenDrift returns up to limit open differences, those first that were seen least lately.
func (s *Store) AllOpenDrift(ctx context.Context, limit int) ([]OpenDrift, error) {
	return s.drift(ctx, `closed_at IS NULL ORDER BY last_seen LIMIT $1`, limit)
}

func (s *Store) drift(ctx context.Context, where string, args ...any) ([]OpenDrift, error) {
	rows, err := s.db.Query(ctx, `SELECT `+driftColumns+` FROM drift WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read drift: %w", err)
	}
	open, err := pgx.CollectRows(rows, scanDrift)
	if err != nil {
		return nil, fmt.Errorf("read drift: %w", err)
	}
	return open, nil
}

// Outcome is what came of a difference.
type Outcome int

// The outcomes.
const (
	Left    Outcome = iota // for a person to decide
	Healed                 // billing has set it right
	Refused                // billing wanted to, and Stripe did not let it
)

// ConcludeDrift stores the outcome of a difference together with what commit (may be nil) stores, and tells it: the first
// time that it is seen, and when it is healed. Processes that come to the same outcome tell it once.
func (s *Store) ConcludeDrift(ctx context.Context, d OpenDrift, o Outcome, commit func(context.Context, pgx.Tx) error) error {
	err := pg.WithTx(ctx, s.db, func(tx pgx.Tx) error {
		if commit != nil {
			if err := commit(ctx, tx); err != nil {
				return err
			}
		}
		return s.conclude(ctx, tx, d, o)
	})
	if err == nil {
		s.log.Kick()
	}
	return err
}

func (s *Store) conclude(ctx context.Context, tx pgx.Tx, d OpenDrift, o Outcome) error {
	const this = ` WHERE tenant = $1 AND generation = $2 AND customer_id = $3 AND kind = $4 AND subscription_id = $5
		AND closed_at IS NULL AND refused = $6`
	set := `told_at = now()` + this + ` AND told_at IS NULL`
	switch o {
	case Healed:
		set = `told_at = coalesce(told_at, now()), healed = true, closed_at = now()` + this
	case Refused:
		set = `told_at = coalesce(told_at, now()), refused = refused + 1` + this
	}
	tag, err := tx.Exec(ctx, `UPDATE drift SET `+set, d.Tenant, d.Generation, d.CustomerID, d.Kind, d.SubscriptionID, d.refused)
	if err != nil {
		return fmt.Errorf("store the outcome of %s of %s: %w", d.Kind, d.Tenant, err)
	}
	if tag.RowsAffected() == 0 || d.Told && o != Healed {
		return nil
	}
	e, err := events.New(&events.DriftFound{
		Kind: string(d.Kind), Detail: d.Detail, SubscriptionID: d.SubscriptionID, Plan: d.Plan, LivePlan: d.LivePlan,
		Healed: o == Healed,
	}, d.Tenant)
	if err != nil {
		return err
	}
	e.Actor, e.CorrelationID, e.CausationID = "service:billing", d.WorkID(), d.WorkID()
	return s.Tell(ctx, tx, eventlog.Entry{Stream: d.Tenant, Events: []events.Event{e}})
}

// CloseDrift writes down that a difference is gone, without billing's doing; a cure that was cut off is forgotten.
func (s *Store) CloseDrift(ctx context.Context, d OpenDrift) error {
	_, err := s.db.Exec(ctx, `WITH cut_off AS (DELETE FROM works WHERE tenant = $1 AND id = $6 AND done_at IS NULL)
		UPDATE drift SET closed_at = now()
		WHERE tenant = $1 AND generation = $2 AND customer_id = $3 AND kind = $4 AND subscription_id = $5`,
		d.Tenant, d.Generation, d.CustomerID, d.Kind, d.SubscriptionID, d.WorkID())
	if err != nil {
		return fmt.Errorf("close %s of %s: %w", d.Kind, d.Tenant, err)
	}
	return nil
}

// Curing reports whether billing is setting something right for the tenant. One that was cut off holds nobody up for
// longer than its few calls to Stripe could take.
func (s *Store) Curing(ctx context.Context, tenant string) (bool, error) {
	return s.exists(ctx, `works WHERE tenant = $1 AND starts_with(id, '`+curing+`') AND done_at IS NULL
		AND tried_at > now() - interval '2 minutes'`, tenant)
}

// Drop forgets a work of which nothing was done yet.
func (s *Store) Drop(ctx context.Context, w Work) error {
	_, err := s.db.Exec(ctx, `DELETE FROM works WHERE tenant = $1 AND id = $2 AND done_at IS NULL`, w.Tenant, w.ID)
	if err != nil {
		return fmt.Errorf("drop work %s: %w", w.ID, err)
	}
	return nil
}

func (s *Store) exists(ctx context.Context, from string, args ...any) (bool, error) {
	var found bool
	if err := s.db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+from+`)`, args...).Scan(&found); err != nil {
		return false, fmt.Errorf("look for works: %w", err)
	}
	return found, nil
}
