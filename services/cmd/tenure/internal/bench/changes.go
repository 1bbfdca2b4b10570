package bench

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"tenure/shared/client"
)

const (
	changeRate    = 2 // per second
	pacedChanges  = 50
	changesAtOnce = 16
)

// changes measures upgrades from the call to the event that tells of their end: everything is provisioned, billed,
// switched and released.
func (m *money) changes(ctx context.Context) error {
	took := make(latencies, pacedChanges)
	group, paced := errgroup.WithContext(ctx)
	start := time.Now()
	for i := range took {
		<-time.After(time.Until(start.Add(time.Duration(i) * time.Second / changeRate)))
		group.Go(func() (err error) {
			took[i], err = m.upgrade(paced, m.tenants[i], "professional")
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	m.print(fmt.Sprintf("plan changes, at %d/s", changeRate), took, "")

	took = make(latencies, len(m.tenants))
	group, crowded := errgroup.WithContext(ctx)
	group.SetLimit(changesAtOnce)
	start = time.Now()
	for i, id := range m.tenants {
		group.Go(func() (err error) {
			took[i], err = m.upgrade(crowded, id, "enterprise")
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	m.print(fmt.Sprintf("plan changes, %d at a time", changesAtOnce), took, fmt.Sprintf("%.1f/s", float64(len(took))/time.Since(start).Seconds()))
	return nil
}

// upgrade changes a tenant's plan and tells how long that took.
func (m *money) upgrade(ctx context.Context, id, plan string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	news, err := m.nc.SubscribeSync("tenure.events.lifecycle." + id + ".upgrade.*")
	if err != nil {
		return 0, err
	}
	defer func() { _ = news.Unsubscribe() }()
	if err := m.nc.FlushWithContext(ctx); err != nil {
		return 0, err
	}
	began := time.Now()
	if _, err := m.api.Upgrade(ctx, id, client.Upgrade{Plan: plan}); err != nil {
		return 0, err
	}
	for {
		msg, err := news.NextMsgWithContext(ctx)
		if err != nil {
			return 0, fmt.Errorf("wait for the upgrade of %s: %w", id, err)
		}
		switch name := msg.Subject[strings.LastIndex(msg.Subject, ".")+1:]; name {
		case "started":
		case "completed":
			return time.Since(began), nil
		default:
			return 0, fmt.Errorf("the upgrade of %s ended as %s", id, name)
		}
	}
}
