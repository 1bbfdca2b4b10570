// Package meter counts what tenants use, as the SaaS publishes it, and tells the totals.
package meter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"time"

	"tenure/services/billing/internal/store"
	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/pg"
)

const (
	reportInterval = time.Second
	reportLimit    = 1000 // tenants in one transaction
	outageDelay    = time.Second
)

// maxQuantity of one event keeps totals far from where their types end.
const maxQuantity = 1e12

var metricName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// running are the metrics whose quantities add up for ever and may be negative. All others are counted per calendar month.
var running = map[string]bool{"documents": true, "storage_gb": true}

// Handler counts a batch of usage events of any tenants in one transaction.
func Handler(s *store.Store) bus.Handler {
	return func(ctx context.Context, messages []bus.Message) (int, error) {
		uses := make([]store.Use, 0, len(messages))
		var refused error
		for i := range messages {
			use, err := useOf(messages[i].Event)
			if err != nil {
				refused = fault.Permanent(err) // those before it are counted
				break
			}
			uses = append(uses, use)
		}
		if err := s.Count(ctx, uses); err != nil {
			if pg.IsUnavailable(err) {
				err = fault.RetryAfter(err, outageDelay)
			}
			return 0, err
		}
		return len(uses), refused
	}
}

func useOf(e events.Event) (store.Use, error) {
	p, err := e.Payload()
	if err != nil {
		return store.Use{}, err
	}
	u, ok := p.(*events.UsageRecorded)
	switch {
	case !ok:
		return store.Use{}, fmt.Errorf("%s is no usage", e.Type)
	case !metricName.MatchString(u.Metric):
		return store.Use{}, fmt.Errorf("metric %q: a name has letters, digits, '_', '.' and '-', 64 at most", u.Metric)
	case math.Abs(u.Quantity) > maxQuantity:
		return store.Use{}, fmt.Errorf("quantity %g is over %g", u.Quantity, maxQuantity)
	case u.Time.IsZero():
		return store.Use{}, errors.New("usage without a time")
	}
	use := store.Use{Tenant: e.Subject, ID: e.ID, Metric: u.Metric, Quantity: u.Quantity}
	if !running[u.Metric] {
		use.Period = u.Time.UTC().Format("2006-01")
	}
	return use, nil
}

// Report tells changed totals every second until ctx ends.
func Report(ctx context.Context, s *store.Store) {
	tick := time.NewTicker(reportInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		told, err := reportLimit, error(nil)
		for told == reportLimit && err == nil { // a full batch: there may be more
			told, err = s.Report(ctx, reportLimit)
		}
		if err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "telling usage failed; tried again", "in", reportInterval, "error", err)
		}
	}
}
