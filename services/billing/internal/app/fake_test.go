package app_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"tenure/services/billing/internal/app"
	"tenure/services/billing/internal/plan"
	"tenure/shared/fault"
	"tenure/shared/plans"
	"tenure/shared/query"
)

// fakeStripe keeps subscriptions and counts money: changing up charges the whole difference, down credits it. It knows
// idempotency keys as Stripe does. One goroutine uses it.
type fakeStripe struct {
	catalogue plans.Catalogue
	subs      []plan.Subscription
	invoices  []plan.Invoice // oldest first
	credit    int64          // on the customer's balance
	answered  map[string]any
	keys      []string // of every call that came, replays too
	changes   int      // calls that had an effect

	gone       []string // customers that were deleted
	survives   int      // how many deletions only say that they worked
	schedules  int      // ever made
	quoted     plan.QuoteOf
	decline    bool
	addOnsOwed bool
	// lose and fail happen to the next call with a key: the effect without the answer, and the answer 500 without the effect.
	// loseAfter calls are spared before that.
	lose, fail bool
	loseAfter  int
}

func newFakeStripe() *fakeStripe {
	return &fakeStripe{catalogue: plans.Default(), answered: map[string]any{}}
}

// goodCoupon is the one that the fake takes.
const goodCoupon = "BACK50"

var errAway = errors.New("no answer")

// call replays what the key was answered with, or does it.
func call[T any](f *fakeStripe, key string, do func() (T, error)) (T, error) {
	var none T
	f.keys = append(f.keys, key)
	if replay, ok := f.answered[key]; ok {
		if err, failed := replay.(error); failed {
			return none, err
		}
		return replay.(T), nil
	}
	if f.fail {
		f.fail = false
		err := fault.RetryAfter(app.ErrKeySpent, time.Millisecond)
		f.answered[key] = err
		return none, err
	}
	out, err := do()
	f.answered[key] = out
	if err != nil {
		f.answered[key] = err
	} else {
		f.changes++
	}
	if f.loseAfter--; f.lose && f.loseAfter < 0 {
		f.lose = false
		return none, fault.RetryAfter(errAway, time.Millisecond)
	}
	return out, err
}

func (f *fakeStripe) charged() (net int64) {
	for _, i := range f.invoices {
		net += i.Charged
	}
	return net
}

func (f *fakeStripe) net() int64 { return f.charged() - f.credit }

func (f *fakeStripe) bill(sub *plan.Subscription, reason string, cents int64) {
	i := plan.Invoice{ID: "in_" + strconv.Itoa(len(f.invoices)+1), CustomerID: sub.CustomerID, Reason: reason, CreditUsed: min(f.credit, cents)}
	f.credit -= i.CreditUsed
	if cents > i.CreditUsed {
		i.Charged, i.ChargeID = cents-i.CreditUsed, "ch_"+i.ID
	}
	f.invoices = append(f.invoices, i)
	sub.LatestInvoice = i.ID
}

func (f *fakeStripe) price(name string) int64 {
	p, _ := f.catalogue.Find(name)
	return p.Cents
}

func (f *fakeStripe) update(id string, change func(*plan.Subscription)) (plan.Subscription, error) {
	i := f.find(id)
	change(&f.subs[i])
	return f.subs[i], nil
}

func (f *fakeStripe) find(id string) int {
	return slices.IndexFunc(f.subs, func(s plan.Subscription) bool { return s.ID == id })
}

func (f *fakeStripe) CreateCustomer(_ context.Context, key, tenant string, generation int64) (string, error) {
	return call(f, key, func() (string, error) { return "cus_" + tenant + strconv.FormatInt(generation, 10), nil })
}

func (f *fakeStripe) DeleteCustomer(_ context.Context, id string) error {
	if f.fail {
		f.fail = false
		return fault.RetryAfter(errAway, time.Millisecond)
	}
	f.changes++
	if f.survives > 0 {
		f.survives--
		return nil
	}
	f.gone = append(f.gone, id)
	for i := range f.subs {
		if f.subs[i].CustomerID == id {
			f.subs[i].Status = plan.Canceled
		}
	}
	return nil
}

func (f *fakeStripe) CustomerExists(_ context.Context, id string) (bool, error) {
	return !slices.Contains(f.gone, id), nil
}

func (f *fakeStripe) Subscriptions(_ context.Context, customerID string) (out []plan.Subscription, err error) {
	if slices.Contains(f.gone, customerID) {
		return nil, fmt.Errorf("customer %s is deleted", customerID)
	}
	for _, s := range f.subs {
		if s.CustomerID == customerID && s.Status != plan.Canceled {
			out = append(out, s)
		}
	}
	return out, nil
}

func (f *fakeStripe) Subscribe(_ context.Context, key string, n app.NewSubscription) (plan.Subscription, error) {
	return call(f, key, func() (plan.Subscription, error) {
		switch {
		case f.decline && n.MustPay:
			return plan.Subscription{}, &app.Refused{Reason: "Your card was declined."}
		case n.Coupon != "" && n.Coupon != goodCoupon:
			return plan.Subscription{}, &app.Refused{Reason: "no such coupon"}
		}
		s := plan.Subscription{
			Coupon: n.Coupon,
			ID:     "sub_" + strconv.Itoa(len(f.subs)+1), ItemID: "si", CustomerID: n.CustomerID, Plan: n.Plan, Status: plan.Active,
			Created: time.Unix(int64(len(f.subs)), 0), CurrentPeriodEnd: time.Unix(1769904000, 0).UTC(),
		}
		switch {
		case n.TrialEnd != nil:
			s.Status, s.CurrentPeriodEnd = plan.Trialing, *n.TrialEnd
		case f.decline:
			s.Status = plan.Incomplete
		default:
			f.bill(&s, plan.ReasonCreate, f.price(n.Plan))
		}
		f.subs = append(f.subs, s)
		return s, nil
	})
}

func (f *fakeStripe) ChangePlan(_ context.Context, key string, s plan.Subscription, change plan.Change, to string) (plan.Subscription, error) {
	return call(f, key, func() (plan.Subscription, error) {
		if f.decline && change == plan.Raise {
			return plan.Subscription{}, &app.Refused{Reason: "Your card was declined."}
		}
		return f.update(s.ID, func(live *plan.Subscription) {
			if change.MovesMoney() {
				f.bill(live, plan.ReasonUpdate, f.price(to)-f.price(live.Plan))
			}
			if change == plan.Reinstate {
				f.refuse(live)
			}
			live.Plan = to
		})
	})
}

// CheckCoupon knows one coupon, which counts for nothing here: what it takes off is the simulator's to show.
func (f *fakeStripe) CheckCoupon(_ context.Context, coupon string) error {
	if coupon != goodCoupon {
		return &app.Refused{Reason: "no such coupon"}
	}
	return nil
}

func (f *fakeStripe) Redeem(_ context.Context, key, id, coupon, by string) (plan.Subscription, error) {
	return call(f, key, func() (plan.Subscription, error) {
		return f.update(id, func(s *plan.Subscription) { s.Coupon, s.RedeemedBy = coupon, by })
	})
}

func (f *fakeStripe) Forfeit(_ context.Context, key, id string) (plan.Subscription, error) {
	return call(f, key, func() (plan.Subscription, error) {
		return f.update(id, func(s *plan.Subscription) { s.Coupon = "" })
	})
}

func (f *fakeStripe) Schedule(_ context.Context, key string, s plan.Subscription, to string) (plan.Subscription, error) {
	// Two calls, as of Stripe: either may be lost.
	_, err := call(f, key+"/create", func() (plan.Subscription, error) {
		f.schedules++
		return f.update(s.ID, func(live *plan.Subscription) { live.ScheduleID = "sub_sched_" + strconv.Itoa(f.schedules) })
	})
	if err != nil {
		return plan.Subscription{}, err
	}
	return call(f, key+"/phases", func() (plan.Subscription, error) {
		return f.update(s.ID, func(live *plan.Subscription) { live.ScheduledPlan = to })
	})
}

func (f *fakeStripe) Unschedule(_ context.Context, key string, s plan.Subscription) (plan.Subscription, error) {
	return call(f, key, func() (plan.Subscription, error) {
		return f.update(s.ID, func(live *plan.Subscription) { live.ScheduleID, live.ScheduledPlan = "", "" })
	})
}

// turnPeriod ends every period: Stripe does what is scheduled and charges for the next one.
func (f *fakeStripe) turnPeriod() {
	for i := range f.subs {
		s := &f.subs[i]
		switch {
		case s.Status != plan.Active:
		case s.CancelAtPeriodEnd:
			s.Status = plan.Canceled
		default:
			s.Plan = cmp.Or(s.ScheduledPlan, s.Plan)
			s.CurrentPeriodEnd = s.CurrentPeriodEnd.AddDate(0, 1, 0)
			f.bill(s, "subscription_cycle", f.price(s.Plan))
			f.refuse(s)
		}
	}
}

// refuse leaves the newest invoice unpaid if the card is declined.
func (f *fakeStripe) refuse(s *plan.Subscription) {
	if f.decline {
		s.Status, f.invoices[len(f.invoices)-1].Charged = plan.PastDue, 0
	}
}

func (f *fakeStripe) collect()       {}
func (f *fakeStripe) declineCard()   { f.decline = true }
func (f *fakeStripe) now() time.Time { return now }

func (f *fakeStripe) PlanOwed(context.Context, string) (bool, error) { return !f.addOnsOwed, nil }

func (f *fakeStripe) Owes(context.Context, string) (bool, error) { return f.decline, nil }

func (f *fakeStripe) Quote(_ context.Context, q plan.QuoteOf) (query.Quote, error) {
	f.quoted = q
	return query.Quote{NextCents: f.price(q.Plan)}, nil
}

func (f *fakeStripe) CancelAtPeriodEnd(_ context.Context, key, id string, cancel bool) (plan.Subscription, error) {
	return call(f, key, func() (plan.Subscription, error) {
		if i := f.find(id); f.subs[i].ScheduleID != "" {
			return plan.Subscription{}, errors.New("the subscription is managed by a schedule")
		}
		return f.update(id, func(s *plan.Subscription) { s.CancelAtPeriodEnd = cancel })
	})
}

func (f *fakeStripe) Cancel(_ context.Context, id string, _ bool) (plan.Subscription, error) {
	f.changes++
	return f.update(id, func(s *plan.Subscription) { s.Status = plan.Canceled })
}

func (f *fakeStripe) Invoices(_ context.Context, _, since string) ([]plan.Invoice, error) {
	after := slices.IndexFunc(f.invoices, func(i plan.Invoice) bool { return i.ID == since }) + 1
	return slices.Clone(f.invoices[after:]), nil
}

func (f *fakeStripe) Collect(_ context.Context, invoiceID string) error {
	i := slices.IndexFunc(f.subs, func(s plan.Subscription) bool { return s.LatestInvoice == invoiceID })
	f.subs[i].InvoiceStatus = "paid"
	if f.decline {
		f.subs[i].InvoiceStatus, f.subs[i].Status = plan.InvoiceOpen, plan.PastDue
	}
	return nil
}

func (f *fakeStripe) CollectDrafts(ctx context.Context, subscriptionID string) error {
	if s := f.subs[f.find(subscriptionID)]; s.InvoiceStatus == plan.InvoiceDraft {
		return f.Collect(ctx, s.LatestInvoice)
	}
	return nil
}

func (f *fakeStripe) GiveBack(_ context.Context, key string, back plan.Invoice) error {
	_, err := call(f, key, func() (bool, error) {
		i := slices.IndexFunc(f.invoices, func(i plan.Invoice) bool { return i.ID == back.ID })
		f.credit += f.invoices[i].CreditUsed
		f.invoices[i].Charged, f.invoices[i].CreditUsed = 0, 0
		return true, nil
	})
	return err
}
