package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/deletion/internal/roots"
	"tenure/shared/jobs"
	"tenure/shared/pg"
)

// DailyRoot is the signed root of a day, or what it will be made of.
type DailyRoot struct {
	Date    string
	TakenAt time.Time
	// Document is the signed root; nil until it is signed.
	Document []byte
}

// TakeRoot begins the root of a day: it sets the heads of all tenants aside as they are in this moment. It does nothing
// when there is a root of that day or a later one, or one is being made: of many processes one begins.
func TakeRoot(ctx context.Context, q pg.Querier, date string) error {
	_, err := q.Exec(ctx, `WITH taken AS (
			INSERT INTO roots (date, taken_at) SELECT $1, now() WHERE NOT EXISTS (SELECT FROM roots WHERE date >= $1)
			ON CONFLICT DO NOTHING RETURNING date)
		INSERT INTO root_leaves (tenant_id, version, hash) SELECT tenant_id, version, hash FROM chains WHERE EXISTS (SELECT FROM taken)`, date)
	return wrap("take the root of", date, err)
}

// ClaimRoot gives the caller the root that is being made, or nil. If it is not published by then, another may claim it
// after the lease; two that make it write the same.
func ClaimRoot(ctx context.Context, q pg.Querier, lease time.Duration) (*DailyRoot, error) {
	rows, err := q.Query(ctx, `UPDATE roots SET run_after = now() + $1::interval WHERE published_at IS NULL AND run_after <= now()
		RETURNING date, taken_at, document`, lease)
	if err != nil {
		return nil, fmt.Errorf("claim a root: %w", err)
	}
	return optional(pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByPos[DailyRoot]))
}

// GiveRootBack lets a root be claimed again at once: it could not be published.
func GiveRootBack(ctx context.Context, q pg.Querier, date string) error {
	_, err := q.Exec(ctx, `UPDATE roots SET run_after = '-infinity' WHERE date = $1 AND published_at IS NULL`, date)
	return wrap("give back root", date, err)
}

// NewestRoot is the latest one that is signed; nil when there is none.
func NewestRoot(ctx context.Context, q pg.Querier) (*DailyRoot, error) {
	rows, err := q.Query(ctx, `SELECT date, taken_at, document FROM roots WHERE document IS NOT NULL ORDER BY date DESC LIMIT 1`)
	if err != nil {
		return nil, fmt.Errorf("read the newest root: %w", err)
	}
	return optional(pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByPos[DailyRoot]))
}

// Root is the published root of a day; nil when there is none.
func Root(ctx context.Context, q pg.Querier, date string) (*DailyRoot, error) {
	rows, err := q.Query(ctx, `SELECT date, taken_at, document FROM roots WHERE date = $1 AND published_at IS NOT NULL`, date)
	if err != nil {
		return nil, wrap("read root", date, err)
	}
	return optional(pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByPos[DailyRoot]))
}

// Roots returns up to limit published roots of days after a date, the oldest first.
func Roots(ctx context.Context, q pg.Querier, after string, limit int) ([]DailyRoot, error) {
	rows, err := q.Query(ctx, `SELECT date, taken_at, document FROM roots WHERE published_at IS NOT NULL AND date > $1
		ORDER BY date LIMIT $2`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list roots: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[DailyRoot])
}

func optional[T any](row *T, err error) (*T, error) {
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return row, err
}

// leafPage is how many leaves are read at once, so that no statement stays open while they are sent elsewhere.
const leafPage = 1000

// RootLeaves are the heads that were set aside for the root of a day, in the bytewise order of their tenants. It ends in
// jobs.ErrLost when that root was published meanwhile: the heads may have been those of the next one.
func RootLeaves(ctx context.Context, q pg.Querier, date string) iter.Seq2[roots.Head, error] {
	return func(yield func(roots.Head, error) bool) {
		for last, more := "", true; more; {
			page, err := leavesAfter(ctx, q, last)
			if err != nil {
				yield(roots.Head{}, err)
				return
			}
			for _, head := range page {
				if !yield(head, nil) {
					return
				}
				last = head.Tenant
			}
			more = len(page) == leafPage
		}
		if err := unpublished(ctx, q, date); err != nil {
			yield(roots.Head{}, err)
		}
	}
}

func unpublished(ctx context.Context, q pg.Querier, date string) error {
	var open bool
	err := q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM roots WHERE date = $1 AND published_at IS NULL)`, date).Scan(&open)
	if err == nil && !open {
		return jobs.ErrLost
	}
	return wrap("look at root", date, err)
}

func leavesAfter(ctx context.Context, q pg.Querier, tenant string) ([]roots.Head, error) {
	rows, err := q.Query(ctx, `SELECT tenant_id, version, hash FROM root_leaves WHERE tenant_id > $1 ORDER BY tenant_id LIMIT $2`, tenant, leafPage)
	if err != nil {
		return nil, fmt.Errorf("read the leaves: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (head roots.Head, err error) {
		var hash []byte
		err = row.Scan(&head.Tenant, &head.Version, &hash)
		head.Hash = hex.EncodeToString(hash)
		return head, err
	})
}

// SaveRoot keeps the first document of a day and returns the one that was kept.
func SaveRoot(ctx context.Context, q pg.Querier, date string, document []byte) (kept []byte, err error) {
	err = q.QueryRow(ctx, `UPDATE roots SET document = coalesce(document, $2) WHERE date = $1 RETURNING document`, date, document).Scan(&kept)
	return kept, wrap("save root", date, err)
}

// RootPublished ends the making of a root: the bucket has it and its leaves.
func RootPublished(ctx context.Context, db *pgxpool.Pool, date string) error {
	return wrap("publish root", date, pg.WithTx(ctx, db, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE roots SET published_at = now() WHERE date = $1 AND published_at IS NULL`, date)
		if err != nil || tag.RowsAffected() == 0 { // another has; the leaves may be those of the next
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM root_leaves`)
		return err
	}))
}

// AdoptRoot takes in a root that the bucket has and this database, restored from a backup, does not know.
func AdoptRoot(ctx context.Context, q pg.Querier, r DailyRoot) error {
	_, err := q.Exec(ctx, `INSERT INTO roots (date, taken_at, document, published_at) VALUES ($1, $2, $3, now()) ON CONFLICT DO NOTHING`,
		r.Date, r.TakenAt, r.Document)
	return wrap("adopt root", r.Date, err)
}
