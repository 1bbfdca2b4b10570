package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"tenure/services/lifecycle/internal/store"
	"tenure/services/lifecycle/internal/tenant"
)

const (
	// monitorInterval is how often promises are checked, when a day has 24 hours; monitorLeast when it is scaled.
	monitorInterval = time.Minute
	monitorLeast    = time.Second
	monitorBatch    = 1000
)

// RunMonitor looks until ctx ends for deletions that are overdue, and forces them, and for purges that began too early. It
// is the second pair of eyes beside the timers: it needs neither their rows nor their loop. Any number of processes may run
// it: what it finds is decided under the tenant's lock, once.
func (e *Engine) RunMonitor(ctx context.Context) error {
	day := e.cfg.Policy("", "").Day
	tick := time.NewTicker(max(monitorLeast, time.Duration(float64(monitorInterval)*day.Hours()/24)))
	defer tick.Stop()
	for {
		if err := e.enforce(ctx); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "cannot check now whether deletions keep their time", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// enforce does nothing while one of the clocks is wrong: what looks overdue then may not be.
func (e *Engine) enforce(ctx context.Context) error {
	if !e.clockIsRight(ctx) {
		return nil
	}
	return errors.Join(e.forceOverdue(ctx), e.reportEarly(ctx))
}

// forceOverdue fires the deadline that each overdue tenant's own state arms. What was taken back or deferred since it was
// read arms none.
func (e *Engine) forceOverdue(ctx context.Context) error {
	for after := ""; ; {
		overdue, err := store.OverdueDeletions(ctx, e.db, after, tenant.PurgeLateness, monitorBatch)
		if err != nil || len(overdue) == 0 {
			return err
		}
		list := make([]Submission, len(overdue))
		for i, s := range overdue {
			slog.ErrorContext(ctx, "a deletion is overdue; it is begun now", "tenant", s.ID, "due", s.Deletion.ScheduledFor)
			list[i] = fromMonitor(s.ID, fmt.Sprintf("monitor/overdue/%d/%d", s.Generation, s.Deletion.ScheduledFor.UnixMicro()))
			list[i].Name = tenant.CmdFireTimer
			list[i].Payload = &tenant.FireTimer{Kind: tenant.TimerPurgeDue, Due: s.Deletion.ScheduledFor, Generation: s.Generation}
		}
		if err := failures(e.SubmitAll(ctx, list)); err != nil || len(overdue) < monitorBatch {
			return err
		}
		after = overdue[len(overdue)-1].ID
	}
}

func (e *Engine) reportEarly(ctx context.Context) error {
	early, err := store.EarlyPurges(ctx, e.db, monitorBatch)
	if err != nil || len(early) == 0 {
		return err
	}
	list := make([]Submission, len(early))
	for i, p := range early {
		slog.ErrorContext(ctx, "a purge began before it was due: somebody has written to the log behind the service's back",
			"tenant", p.Tenant, "version", p.Version, "began", p.Began, "due", p.Due)
		list[i] = fromMonitor(p.Tenant, fmt.Sprintf("monitor/early/%d", p.Version))
		list[i].Name = tenant.CmdReportEarly
		list[i].Payload = &tenant.ReportEarly{Version: p.Version, Began: p.Began, Due: p.Due}
	}
	return failures(e.SubmitAll(ctx, list))
}

func fromMonitor(id, key string) Submission {
	return Submission{Tenant: id, Key: key, CausationID: key, CorrelationID: key, Actor: "system:monitor"}
}

func failures(outcomes []Outcome) error {
	var failed []error
	for _, out := range outcomes {
		failed = append(failed, out.Err)
	}
	return errors.Join(failed...)
}
