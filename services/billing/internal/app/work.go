package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/store"
	"tenure/shared/events"
	"tenure/shared/inbox"
)

// request is what an event asks billing to do, before it was looked at what is live.
type request struct {
	cause     events.Event
	id        string // of the work
	operation string
	account   store.Account
	fromPlan  string
	plan      string
	coupon    string // of a tenant that comes back
	trialEnd  *time.Time
	trialDays int
	// mustPay: a declined card leaves no new subscription, and an overdue one fails the request.
	mustPay bool
	// credit: End gives credit for the time that was paid for and not used.
	credit bool
	// giveBack: what the subscription's changes charged since the invoice called since is given back; all when it is empty.
	giveBack bool
	since    string
	ends     bool                  // the tenant's life is over
	step     *events.StepRequested // to be answered; nil when nobody waits
	changes  planner
}

// planner lists what is to be done, from what is live and from what was told of it.
type planner func(main *plan.Subscription, told plan.Belief) []plan.Change

// carryOut does a request and returns what to store. The account was read before Stripe is looked at: if another look is
// stored in between, the commit fails and the request is carried out again, which then finds everything done.
func (a *App) carryOut(ctx context.Context, r request) (inbox.Commit, error) {
	live, err := a.look(ctx, r.account)
	if err != nil {
		return nil, err
	}
	w, err := a.begin(ctx, r, plan.Main(live))
	if err != nil {
		return nil, err
	}
	if !w.Done {
		live, err = a.work(ctx, &r, w, live)
		if err := a.settle(ctx, &w, err); err != nil {
			return nil, err
		}
		if w.Failure != "" && r.step == nil {
			slog.WarnContext(ctx, "Stripe refuses what the log asks for; see the tenant's drift", "tenant", w.Tenant,
				"event", r.cause.ID, "changes", w.Changes, "reason", w.Failure)
		}
	}
	c := conclusion{cause: r.cause, account: r.account, live: live, work: &w, answer: r.answer(w, live), ended: r.ends}
	if r.credit { // the tenant is on a free plan from now on
		if c.paidUp, err = a.paidUp(ctx, r.account, live); err != nil {
			return nil, err
		}
	}
	return a.commit(c), nil
}

// look returns what is live at Stripe: nothing of a customer that was deleted there.
func (a *App) look(ctx context.Context, account store.Account) ([]plan.Subscription, error) {
	if account.CustomerID == "" || account.Erased {
		return nil, nil
	}
	live, err := a.stripe.Subscriptions(ctx, account.CustomerID)
	if err != nil {
		return nil, err
	}
	return a.judge(ctx, live)
}

// judge finds out what an overdue subscription owes: one add-on that is not paid for must not take the tenant down.
func (a *App) judge(ctx context.Context, live []plan.Subscription) ([]plan.Subscription, error) {
	main := plan.Main(live)
	if main == nil || !main.Overdue() {
		return live, nil
	}
	owed, err := a.stripe.PlanOwed(ctx, main.ID)
	if err != nil {
		return nil, err
	}
	main.AddOnsOwed = !owed
	return replace(live, *main), nil
}

func (a *App) begin(ctx context.Context, r request, main *plan.Subscription) (store.Work, error) {
	w := store.Work{
		Tenant: r.cause.Subject, ID: r.id, OperationID: r.operation, Generation: r.account.Generation, FromPlan: r.fromPlan,
		Plan: r.plan, Changes: r.changes(main, r.account.Belief), GiveBack: r.giveBack, InvoiceBefore: r.since,
		Coupon: r.coupon,
	}
	if main != nil {
		w.SubscriptionID = main.ID
		if r.step != nil {
			w.FromPlan = main.Plan // which Stripe may have lowered already, while the tenant is on it no less
		}
		if !r.giveBack {
			w.InvoiceBefore = main.LatestInvoice
		}
	}
	return a.store.Begin(ctx, w)
}

// work does what the work says and is not there yet, then gives money back, so that nothing more is charged meanwhile.
func (a *App) work(ctx context.Context, r *request, w store.Work, live []plan.Subscription) ([]plan.Subscription, error) {
	if _, known := a.catalogue.Find(w.Plan); !known && w.Plan != "" {
		return live, &Refused{fmt.Sprintf("plan %q is not in billing's catalogue: add it there and try again", w.Plan)}
	}
	if err := a.checkCoupon(ctx, w, plan.Main(live)); err != nil {
		return live, err
	}
	var err error
	for _, change := range w.Changes {
		if live, err = a.apply(ctx, r, w, change, live); err != nil {
			return live, err
		}
	}
	if w.GiveBack && w.SubscriptionID != "" {
		if err := a.giveBack(ctx, w); err != nil {
			return live, err
		}
	}
	if live, err = a.judge(ctx, live); err != nil {
		return live, err
	}
	if main := plan.Main(live); r.mustPay && main != nil && !main.Paid() {
		return live, &Refused{fmt.Sprintf("the subscription is %s: pay its open invoice and try again", main.Status)}
	}
	return live, nil
}

// checkCoupon refuses a coupon that is to be redeemed last before anything is charged. One that this work has redeemed may be
// used up by that.
func (a *App) checkCoupon(ctx context.Context, w store.Work, main *plan.Subscription) error {
	if main == nil || main.RedeemedBy == w.ID || !slices.Contains(w.Changes, plan.Redeem) {
		return nil
	}
	return a.stripe.CheckCoupon(ctx, w.Coupon)
}

// settle sorts an error of the work: a refusal is its outcome, anything else leaves it to be tried again.
func (a *App) settle(ctx context.Context, w *store.Work, err error) error {
	var refused *Refused
	switch {
	case errors.As(err, &refused):
		w.Failure = refused.Reason
		return nil
	case errors.Is(err, ErrKeySpent):
		return errors.Join(err, a.store.RenewKey(ctx, *w))
	}
	return err
}

// apply does one change unless what is live shows it already.
func (a *App) apply(ctx context.Context, r *request, w store.Work, change plan.Change, live []plan.Subscription) ([]plan.Subscription, error) {
	main := plan.Main(live)
	if main == nil {
		return a.applyToNone(ctx, r, w, change, live)
	}
	key := w.Key(string(change))
	var s plan.Subscription
	var err error
	switch {
	case change == plan.End:
		return a.end(ctx, r, live)
	case change == plan.Retire && !main.CancelAtPeriodEnd:
		s, err = a.stripe.CancelAtPeriodEnd(ctx, key, main.ID, true)
	case change == plan.Resume && main.CancelAtPeriodEnd:
		s, err = a.stripe.CancelAtPeriodEnd(ctx, key, main.ID, false)
	case change == plan.Redeem && main.RedeemedBy != w.ID:
		s, err = a.stripe.Redeem(ctx, key, main.ID, w.Coupon, w.ID)
	case change == plan.Forfeit && main.Coupon == w.Coupon:
		s, err = a.stripe.Forfeit(ctx, key, main.ID)
	case change == plan.Schedule && main.Plan != w.Plan && main.Pending() != w.Plan:
		s, err = a.stripe.Schedule(ctx, key, *main, w.Plan)
	case change == plan.Unschedule && main.ScheduleID != "":
		s, err = a.stripe.Unschedule(ctx, key, *main)
	case change.MovesPlan() && main.Plan != w.Plan:
		s, err = a.stripe.ChangePlan(ctx, key, *main, change, w.Plan)
	default:
		return live, nil
	}
	if err != nil {
		return live, err
	}
	return replace(live, s), nil
}

// applyToNone is apply when nothing is live.
func (a *App) applyToNone(ctx context.Context, r *request, w store.Work, change plan.Change, live []plan.Subscription) ([]plan.Subscription, error) {
	switch change {
	case plan.Subscribe, plan.Reinstate:
		return a.subscribe(ctx, r, w)
	case plan.End: // add-ons may be there
		return a.end(ctx, r, live)
	case plan.Raise, plan.Lower, plan.Resume, plan.Redeem:
		if !w.GiveBack { // on the way back there is nothing to be taken back any more
			return live, &Refused{"the subscription has ended meanwhile"}
		}
	}
	return live, nil
}

// subscribe opens the account first when there is none.
func (a *App) subscribe(ctx context.Context, r *request, w store.Work) ([]plan.Subscription, error) {
	if r.account.CustomerID == "" {
		account := r.account
		var err error
		account.CustomerID, err = a.stripe.CreateCustomer(ctx, w.Key("customer"), w.Tenant, w.Generation)
		if err != nil {
			return nil, err
		}
		if r.account, err = a.store.Open(ctx, account); err != nil {
			return nil, err
		}
	}
	s, err := a.stripe.Subscribe(ctx, w.Key(string(plan.Subscribe)), NewSubscription{
		CustomerID: r.account.CustomerID, Tenant: w.Tenant, Generation: w.Generation, Plan: w.Plan,
		TrialEnd: r.trialEnd, TrialDays: r.trialDays, MustPay: r.mustPay, Coupon: w.Coupon,
	})
	if err != nil {
		return nil, err
	}
	return []plan.Subscription{s}, nil
}

// end cancels everything, add-ons too: a tenant that is gone pays nothing more. Credit is for time that was paid for:
// Stripe would give it for an unpaid period as well.
func (a *App) end(ctx context.Context, r *request, live []plan.Subscription) ([]plan.Subscription, error) {
	if r.credit {
		var err error
		if live, err = a.collect(ctx, r.account, live); err != nil {
			return live, err
		}
	}
	for _, s := range live {
		if s.Status == plan.Canceled || s.Status == plan.IncompleteExpired {
			continue
		}
		s, err := a.stripe.Cancel(ctx, s.ID, r.credit && s.Paid())
		if err != nil {
			return live, err
		}
		live = replace(live, s)
	}
	return live, nil
}

// collect has a renewal paid for that Stripe keeps as a draft for its first hour: nothing would collect it after the end,
// and the rest of a period that was never paid for would be credited.
func (a *App) collect(ctx context.Context, account store.Account, live []plan.Subscription) ([]plan.Subscription, error) {
	main := plan.Main(live)
	if main == nil || main.Status != plan.Active {
		return live, nil
	}
	if err := a.stripe.CollectDrafts(ctx, main.ID); err != nil {
		return live, err
	}
	return a.look(ctx, account)
}

func (a *App) giveBack(ctx context.Context, w store.Work) error {
	invoices, err := a.stripe.Invoices(ctx, w.SubscriptionID, w.InvoiceBefore)
	if err != nil {
		return err
	}
	for _, i := range invoices {
		if !i.OfChange() || !i.MovesMoney() {
			continue
		}
		if err := a.stripe.GiveBack(ctx, w.Key("give-back/"+i.ID), i); err != nil {
			return err
		}
	}
	return nil
}

func replace(all []plan.Subscription, s plan.Subscription) []plan.Subscription {
	out := slices.Clone(all)
	for i := range out {
		if out[i].ID == s.ID {
			out[i] = s
		}
	}
	return out
}

// answer is what the step's asker is told; nil when no step asked.
func (r request) answer(w store.Work, live []plan.Subscription) *events.StepAnswer {
	if r.step == nil {
		return nil
	}
	answer := &events.StepAnswer{StepID: r.step.StepID, Participant: Participant, Error: w.Failure, Permanent: w.Failure != ""}
	result := struct {
		Changes        []plan.Change `json:"changes"`
		SubscriptionID string        `json:"subscription_id,omitempty"`
		Plan           string        `json:"plan,omitempty"`
		Status         string        `json:"status,omitempty"`
	}{Changes: w.Changes}
	if main := plan.Main(live); main != nil {
		result.SubscriptionID, result.Plan, result.Status = main.ID, main.Plan, main.Status
	}
	answer.Result, _ = json.Marshal(result) // strings alone: it cannot fail
	return answer
}
