// Package meter counts what tenants use, as the SaaS publishes it, tells the totals, and puts on invoices what costs money.
package meter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"slices"
	"time"

	"tenure/services/billing/internal/store"
	"tenure/services/billing/internal/usage"
	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/pg"
	"tenure/shared/plans"
)

const (
	reportInterval = time.Second
	reportLimit    = 1000 // tenants in one transaction
	outageDelay    = time.Second
)

// maxQuantity of one event keeps totals far from where their types end.
const maxQuantity = 1e12

var metricName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// Handler counts a batch of usage events of any tenants in one transaction. Metrics with a price are counted for invoices
// too. Use that is older than 35 days by its own time, or more than a day ahead of now, is refused for good: whether
// it was counted before could not be told.
func Handler(s *store.Store, offer plans.Offer, now func() time.Time) bus.Handler {
	var free []string
	for _, p := range offer.Plans {
		if p.Free() {
			free = append(free, p.Name)
		}
	}
	return func(ctx context.Context, messages []bus.Message) (int, error) {
		uses := make([]store.Use, 0, len(messages))
		var refused error
		for i := range messages {
			use, err := useOf(messages[i].Event, now())
			if err != nil {
				refused = fault.Permanent(err) // those before it are counted
				break
			}
			use.Priced = slices.ContainsFunc(offer.Usage, func(p plans.UsagePrice) bool { return p.Metric == use.Metric })
			uses = append(uses, use)
		}
		if err := s.Count(ctx, uses, free...); err != nil {
			if pg.IsUnavailable(err) {
				err = fault.RetryAfter(err, outageDelay)
			}
			return 0, err
		}
		return len(uses), refused
	}
}

func useOf(e events.Event, now time.Time) (store.Use, error) {
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
	case now.Sub(u.Time) > usage.Window:
		return store.Use{}, fmt.Errorf("usage of %v is too late: after 35 days nobody knows whether it was counted before", u.Time)
	case u.Time.Sub(now) > usage.Ahead:
		return store.Use{}, fmt.Errorf("usage of %v lies ahead: set the sender's clock", u.Time)
	}
	use := store.Use{Tenant: e.Subject, ID: e.ID, Metric: u.Metric, Quantity: u.Quantity}
	if !usage.Running(u.Metric) {
		use.Period = u.Time.UTC().Format("2006-01")
	}
	return use, nil
}

// Report tells changed totals, and the shares of limits that they reach, every second until ctx ends.
func Report(ctx context.Context, s *store.Store, catalogue plans.Catalogue) {
	every(ctx, reportInterval, func() {
		told, err := reportLimit, error(nil)
		for told == reportLimit && err == nil { // a full batch: there may be more
			told, err = s.Report(ctx, reportLimit, catalogue)
		}
		if err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "telling usage failed; tried again", "in", reportInterval, "error", err)
		}
	})
}

// every calls do now and after each interval until ctx ends.
func every(ctx context.Context, interval time.Duration, do func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		do()
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}
