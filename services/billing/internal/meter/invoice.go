package meter

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"tenure/services/billing/internal/app"
	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/store"
	"tenure/services/billing/internal/usage"
	"tenure/shared/fault"
	"tenure/shared/plans"
)

const (
	invoiceLimit   = 100 // tenants that are taken at once
	invoiceWorkers = 4   // who speak to Stripe side by side: few, so that steps of sagas do not wait behind them
)

// Stripe is what putting use on invoices needs of it; errors are as in app.Stripe. Setting a total again, under whatever
// key, leaves the same total.
type Stripe interface {
	// Subscriptions returns all that a customer has, without those that ended.
	Subscriptions(ctx context.Context, customerID string) ([]plan.Subscription, error)
	AddUsageItem(ctx context.Context, key, subscriptionID, metric string) (itemID string, err error)
	// SetUsage sets the total that the item has at a moment. A moment outside of the current period is refused.
	SetUsage(ctx context.Context, key, itemID string, total int64, at time.Time) error
	// UsagePeriods returns what Stripe holds of the item, the newest period first.
	UsagePeriods(ctx context.Context, itemID string) ([]plan.UsagePeriod, error)
}

// Invoices puts use on invoices: it reports the totals of billing periods to Stripe.
type Invoices struct {
	store  *store.Store
	stripe Stripe
	offer  plans.Offer
}

// NewInvoices returns an Invoices for all metrics that have a price in the offer. It is safe for concurrent use.
func NewInvoices(s *store.Store, stripe Stripe, offer plans.Offer) *Invoices {
	return &Invoices{store: s, stripe: stripe, offer: offer}
}

// Run reports what has changed at once and after each interval, until ctx ends. Any number of processes may run it.
func (v *Invoices) Run(ctx context.Context, interval time.Duration) {
	if len(v.offer.Usage) == 0 {
		return
	}
	every(ctx, interval, func() {
		if err := v.Report(ctx, interval/2); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "putting usage on invoices failed; tried again", "in", interval, "error", err)
		}
	})
}

// Report reports the tenants that are due and were not tried for a while. What fails for one tenant is due again.
func (v *Invoices) Report(ctx context.Context, while time.Duration) error {
	for {
		tenants, err := v.store.DueUsage(ctx, while, invoiceLimit)
		if err != nil {
			return err
		}
		var g errgroup.Group
		g.SetLimit(invoiceWorkers)
		for _, tenant := range tenants {
			g.Go(func() error {
				err := v.tenant(ctx, tenant)
				if err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrStale) { // stale: another process is at it
					slog.WarnContext(ctx, "usage is not on the invoice yet", "tenant", tenant, "error", err)
				}
				return nil
			})
		}
		_ = g.Wait()
		if len(tenants) < invoiceLimit || ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// tenant brings Stripe up to date: first what was sent and not answered, then the periods that are over, then the new
// totals. A failure of one metric does not hold up another.
func (v *Invoices) tenant(ctx context.Context, tenant string) error {
	m, err := v.store.Metered(ctx, tenant)
	if err != nil {
		return err
	}
	var live []plan.Subscription
	if !m.Account.Erased { // a customer that was deleted has none
		if live, err = v.stripe.Subscriptions(ctx, m.Account.CustomerID); err != nil {
			return err
		}
	}
	var failed []error
	for _, item := range slices.Clone(m.Items) {
		failed = append(failed, v.conclude(ctx, &m, item, holder(live, item)))
	}
	main := plan.Main(live)
	if main != nil && slices.Contains(usage.PayingStatuses, main.Status) {
		for _, price := range v.offer.Usage {
			failed = append(failed, v.report(ctx, &m, *main, price.Metric))
		}
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	return v.store.UsageInvoiced(ctx, m, main)
}

// holder is the live subscription that has the item; nil: none has.
func holder(live []plan.Subscription, item usage.Item) *plan.Subscription {
	for i, s := range live {
		if s.Usage[item.Metric] == item.ID && s.Status != plan.IncompleteExpired {
			return &live[i]
		}
	}
	return nil
}

// conclude finishes what an earlier report began, and closes the item's period when it is over.
func (v *Invoices) conclude(ctx context.Context, m *store.Metered, item usage.Item, s *plan.Subscription) error {
	if item.State == usage.Sent {
		var err error
		if item, err = v.send(ctx, m, item); err != nil && item.State != usage.Refused {
			return err
		}
	}
	if !item.Over(s) {
		return nil
	}
	if s == nil {
		if err := v.store.MissItem(ctx, item); err != nil {
			return err
		}
	}
	closed, err := v.closed(ctx, m, item, s)
	if err != nil {
		return err
	}
	var next *usage.Item
	if s != nil {
		following := item.In(*s)
		next = &following
	}
	if err := v.store.CloseItem(ctx, m.Account, item, closed, next); err != nil {
		return err
	}
	m.Settle(item, closed)
	m.Items = slices.DeleteFunc(m.Items, func(i usage.Item) bool { return i.ID == item.ID })
	if next != nil {
		m.Items = append(m.Items, *next)
	}
	return nil
}

// closed asks Stripe what the item's periods that are over have billed.
func (v *Invoices) closed(ctx context.Context, m *store.Metered, item usage.Item, s *plan.Subscription) ([]usage.Closed, error) {
	periods, err := v.stripe.UsagePeriods(ctx, item.ID)
	switch {
	case err == nil:
		return item.Close(periods, s, m.Open(item))
	case s == nil && answered(ctx, err):
		slog.WarnContext(ctx, "Stripe says no more what was billed by use; it is taken for what was reported",
			"tenant", m.Account.Tenant, "item", item.ID, "total", item.Quantity, "error", err)
		return item.Assume(m.Open(item)), nil
	}
	return nil, err
}

// report sends the metric's total for the current period of s, unless Stripe has it.
func (v *Invoices) report(ctx context.Context, m *store.Metered, s plan.Subscription, metric string) error {
	item, err := v.item(ctx, m, s, metric)
	if err != nil {
		return err
	}
	if item.State == usage.Sent || !item.Start.Equal(s.CurrentPeriodStart) {
		return nil // conclude has failed, and has said so
	}
	offered, _ := v.offer.Plans.Find(s.Plan)
	next := item
	next.Included = max(item.Included, offered.Included[metric])
	if total, outdated := m.Total(next); outdated {
		next = next.Send(total, m.Life)
	} else if next.Included == item.Included {
		return nil
	}
	if err := v.store.MoveItem(ctx, item, next); err != nil {
		return err
	}
	if next.State == usage.Sent {
		_, err = v.send(ctx, m, next)
	}
	return err
}

// item is the subscription's item of the metric. One that is missing is added: the subscription is older than the price.
func (v *Invoices) item(ctx context.Context, m *store.Metered, s plan.Subscription, metric string) (usage.Item, error) {
	id := s.Usage[metric]
	if id == "" {
		var err error
		if id, err = v.stripe.AddUsageItem(ctx, m.AddKey(s.ID, metric), s.ID, metric); err != nil {
			return usage.Item{}, err
		}
	}
	if i := slices.IndexFunc(m.Items, func(known usage.Item) bool { return known.ID == id }); i >= 0 {
		return m.Items[i], nil
	}
	item := usage.Item{ID: id, Metric: metric, Life: m.Life}.In(s)
	return item, v.store.AddItem(ctx, m.Account.Tenant, item)
}

// send sends what the item was written down to be sent, and stores Stripe's answer; a refusal, most likely because the
// period has just ended, is an error as well. Without an answer the item stays as it is: whoever comes next sends the same
// again.
func (v *Invoices) send(ctx context.Context, m *store.Metered, item usage.Item) (usage.Item, error) {
	refusal := v.stripe.SetUsage(ctx, item.Key(), item.ID, item.Quantity, item.At())
	switch {
	case errors.Is(refusal, app.ErrKeySpent):
		return item, errors.Join(refusal, v.store.MoveItem(ctx, item, item.Renew()))
	case refusal != nil && !answered(ctx, refusal):
		return item, refusal
	}
	next := item.Answered(refusal == nil)
	if err := v.store.MoveItem(ctx, item, next); err != nil {
		return item, err
	}
	if i := slices.Index(m.Items, item); i >= 0 {
		m.Items[i] = next
	}
	return next, refusal
}

// answered reports whether an error is Stripe's word on the request: nothing of it is under way any more.
func answered(ctx context.Context, err error) bool {
	_, away := fault.Delay(err)
	return !away && ctx.Err() == nil
}
