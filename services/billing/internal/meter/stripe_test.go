package meter_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"tenure/services/billing/internal/app"
	"tenure/services/billing/internal/plan"
	"tenure/shared/fault"
)

// trouble is what becomes of one call.
type trouble string

const (
	requestLost trouble = "the request is lost"
	answerLost  trouble = "the answer is lost"
	broken      trouble = "Stripe fails, and says so again for this key"
)

var troubles = []trouble{requestLost, answerLost, broken}

// fakeStripe keeps one customer's subscription, the totals of its periods and the keys of what was executed. The sum of
// its invoices is what the tenant pays for use.
type fakeStripe struct {
	mu       sync.Mutex
	sub      *plan.Subscription
	subs     int
	periods  map[string][]plan.UsagePeriod // by item, newest first
	answers  map[string]error              // by idempotency key
	invoiced int64

	calls int
	// in is what happens to the call called at, the first being 1.
	at int
	in trouble
}

func newFakeStripe() *fakeStripe {
	return &fakeStripe{periods: map[string][]plan.UsagePeriod{}, answers: map[string]error{}}
}

var errAway = fault.RetryAfter(errors.New("no answer from Stripe"), time.Second)

// do is a call: do it once for each key, unless it meets its trouble.
func (f *fakeStripe) do(key string, execute func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	now := trouble("")
	if f.calls == f.at {
		now = f.in
	}
	if now == requestLost {
		return errAway
	}
	err, seen := f.answers[key]
	switch {
	case seen && key != "":
	case now == broken:
		err = fault.RetryAfter(app.ErrKeySpent, time.Second)
		f.answers[key] = err
	default:
		if err = execute(); err == nil { // a request that is refused as such is not remembered
			f.answers[key] = nil
		}
	}
	if now == answerLost {
		return errAway
	}
	return err
}

func (f *fakeStripe) Subscriptions(context.Context, string) (live []plan.Subscription, err error) {
	err = f.do("", func() error {
		if f.sub != nil {
			live = []plan.Subscription{*f.sub}
		}
		return nil
	})
	return live, err
}

func (f *fakeStripe) AddUsageItem(_ context.Context, key, _, metric string) (id string, err error) {
	err = f.do(key, func() error {
		id = fmt.Sprintf("si_%s_%d", f.sub.CustomerID, f.subs)
		f.sub.Usage = map[string]string{metric: id}
		f.periods[id] = []plan.UsagePeriod{{Start: f.sub.CurrentPeriodStart, End: f.sub.CurrentPeriodEnd}}
		return nil
	})
	return id, err
}

func (f *fakeStripe) SetUsage(_ context.Context, key, item string, total int64, at time.Time) error {
	return f.do(key, func() error {
		current := f.periods[item][:1]
		if f.sub == nil || f.sub.Usage[metric] != item || at.Before(current[0].Start) || !at.Before(current[0].End) {
			return errors.New("outside of the current period")
		}
		current[0].Total = total
		return nil
	})
}

func (f *fakeStripe) UsagePeriods(_ context.Context, item string) (all []plan.UsagePeriod, err error) {
	err = f.do("", func() error {
		all = slices.Clone(f.periods[item])
		return nil
	})
	return all, err
}

// subscribe begins a subscription; withItem, it has its metered item from the beginning.
func (f *fakeStripe) subscribe(customer, to string, start time.Time, withItem bool) {
	f.subs++
	f.sub = &plan.Subscription{
		ID: fmt.Sprintf("sub_%s_%d", customer, f.subs), ItemID: "si", CustomerID: customer, Plan: to, Status: plan.Active,
		CurrentPeriodStart: start, CurrentPeriodEnd: start.AddDate(0, 1, 0),
	}
	if withItem {
		if _, err := f.AddUsageItem(context.Background(), "", "", metric); err != nil {
			panic(err) // no trouble is set yet
		}
	}
}

// turn ends the period: what it was told is invoiced. It may be called while others report.
func (f *fakeStripe) turn() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.invoice()
	f.sub.CurrentPeriodStart, f.sub.CurrentPeriodEnd = f.sub.CurrentPeriodEnd, f.sub.CurrentPeriodEnd.AddDate(0, 1, 0)
	for id := range f.periods {
		if id == f.sub.Usage[metric] {
			next := plan.UsagePeriod{Start: f.sub.CurrentPeriodStart, End: f.sub.CurrentPeriodEnd}
			f.periods[id] = append([]plan.UsagePeriod{next}, f.periods[id]...)
		}
	}
}

func (f *fakeStripe) invoice() {
	if current := f.periods[f.sub.Usage[metric]]; len(current) > 0 {
		current[0].InvoiceID = "in"
		f.invoiced += current[0].Total
	}
}

func (f *fakeStripe) end(invoiced bool) {
	if invoiced {
		f.invoice()
	}
	f.sub = nil
}
