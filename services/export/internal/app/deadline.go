package app

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/export/internal/store"
	"tenure/shared/events"
)

// alertDays before an archive is due an operator is called, in days.
const alertDays = 7

// dueBy is one calendar month after the receipt of a request, as GDPR Article 12(3) has it. A month ends on the day of the
// same number, or on its last where it has none (Regulation (EEC, Euratom) No 1182/71, Article 3(2)(c)). Its days are UTC's,
// each as long as day.
func dueBy(received time.Time, day time.Duration) time.Time {
	received = received.UTC()
	next := received.AddDate(0, 1, 0)
	if next.Day() != received.Day() { // Go has counted on, into the month after
		next = next.AddDate(0, 0, -next.Day())
	}
	days := next.Sub(received) / (24 * time.Hour)
	return received.Add(days * day)
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
