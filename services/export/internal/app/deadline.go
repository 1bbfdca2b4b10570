package app

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/export/internal/store"
	"tenure/shared/events"
	"tenure/shared/retention"
)

// alertDays before an archive is due an operator is called, in days.
const alertDays = 7

// dueBy is one calendar month after the receipt of a request, of days that are as long as day.
func dueBy(received time.Time, day time.Duration) time.Time {
	days := retention.MonthAfter(received).Sub(received) / (24 * time.Hour)
	return received.UTC().Add(days * day)
}

// alertOverdue calls an operator for exports that will soon be late, once for each.
func (a *App) alertOverdue(ctx context.Context) error {
	late, err := store.Overdue(ctx, a.db, alertDays*a.cfg.Day, sweepLimit)
	if err != nil {
		return err
	}
	var failed []error
	for _, job := range late {
		failed = append(failed, a.inTx(ctx, func(tx pgx.Tx) error {
			first, err := store.Alerted(ctx, tx, job.ExportID)
			if err != nil || !first {
				return err
			}
			return a.emit(ctx, tx, job, &events.ArchiveOverdue{ExportID: job.ExportID, DueBy: job.DueBy.UTC()})
		}))
	}
	return errors.Join(failed...)
}
