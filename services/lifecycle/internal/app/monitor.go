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
	// monitorInterval is how often promises are checked when a day has 24 hours, monitorLeast when it is scaled.
	monitorInterval = time.Minute
	monitorLeast    = time.Second
	monitorBatch    = 1000
)

// RunMonitor looks until ctx ends for deletions that are overdue, and forces them, and for purges that began too early. It
// is the second pair of eyes beside the timers: it needs neither their rows nor their loop. Any number of processes may run
// it: what they find is decided under the tenant's lock, once.
func (e *Engine) RunMonitor(ctx context.Context) error {
	day := e.cfg.Policy("", "").Day
	tick := time.NewTicker(max(monitorLeast, time.Duration(float64(monitorInterval)*day.Hours()/24)))
	defer tick.Stop()
	m := newMonitor(e)
	for {
		if err := m.look(ctx); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "cannot check now whether deletions keep their time", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

type monitor struct {
	*Engine
	// checked is how far each partition's purges were looked at: what was in time stays so.
	checked []int64
}

func newMonitor(e *Engine) *monitor {
	return &monitor{Engine: e, checked: make([]int64, len(e.partitions))}
}

// look does nothing while one of the clocks is wrong: what seems overdue then may not be.
func (m *monitor) look(ctx context.Context) error {
	if !m.clockIsRight(ctx) {
		return nil
	}
	failed := []error{m.forceOverdue(ctx)}
	for partition := range m.checked {
		failed = append(failed, m.reportEarly(ctx, partition))
	}
	return errors.Join(failed...)
}

// forceOverdue fires the deadline that each overdue tenant's own state arms. One that came back or was held since it was read
// arms none.
func (m *monitor) forceOverdue(ctx context.Context) error {
	for after := ""; ; {
		overdue, err := store.OverdueDeletions(ctx, m.db, after, tenant.PurgeLateness, monitorBatch)
		if err != nil || len(overdue) == 0 {
			return err
		}
		list := make([]Submission, len(overdue))
		for i, s := range overdue {
			due := s.Deletion.ScheduledFor
			slog.ErrorContext(ctx, "a deletion is overdue; it is begun now", "tenant", s.ID, "due", due)
			list[i] = fromMonitor(s.ID, fmt.Sprintf("overdue/%d/%d", s.Generation, due.UnixMicro()), tenant.CmdFireTimer)
			list[i].Payload = &tenant.FireTimer{Kind: tenant.TimerPurgeDue, Due: due, Generation: s.Generation}
		}
		if err := failures(m.SubmitAll(ctx, list)); err != nil || len(overdue) < monitorBatch {
			return err
		}
		after = overdue[len(overdue)-1].ID
	}
}

// reportEarly records purges that began before they were due. No decision leads there: somebody has written to the log behind
// the service's back.
func (m *monitor) reportEarly(ctx context.Context, partition int) error {
	for {
		purges, err := store.Purges(ctx, m.db, partition, m.checked[partition], monitorBatch)
		if err != nil || len(purges) == 0 {
			return err
		}
		var list []Submission
		for _, p := range purges {
			if p.Due != nil && !p.Began.Before(*p.Due) {
				continue
			}
			slog.ErrorContext(ctx, "a purge began before it was due", "tenant", p.Tenant, "version", p.Version, "began", p.Began, "due", p.Due)
			s := fromMonitor(p.Tenant, fmt.Sprintf("early/%d", p.Version), tenant.CmdReportEarly)
			s.Payload = &tenant.ReportEarly{Version: p.Version, Began: p.Began, Due: p.Due}
			list = append(list, s)
		}
		if err := failures(m.SubmitAll(ctx, list)); err != nil {
			return err
		}
		m.checked[partition] = purges[len(purges)-1].Position
	}
}

// fromMonitor has a key that is the same in every process and after every restart.
func fromMonitor(id, key, command string) Submission {
	key = "monitor/" + key
	return Submission{Tenant: id, Name: command, Key: key, CausationID: key, CorrelationID: key, Actor: "system:monitor"}
}

func failures(outcomes []Outcome) error {
	var failed []error
	for _, out := range outcomes {
		failed = append(failed, out.Err)
	}
	return errors.Join(failed...)
}
