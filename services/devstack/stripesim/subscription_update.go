package stripesim

import (
	"errors"
	"slices"

	"tenure/services/devstack/stripesim/store"
)

// What happens to the time that was paid for when a subscription changes.
const (
	prorateCreate = "create_prorations" // on the next invoice
	prorateAlways = "always_invoice"    // on an invoice of its own, now
	prorateNone   = "none"
)

// change is an update of a subscription on its way.
type change struct {
	before, after *subscription
	at            int64 // the moment to prorate from
	proration     string
	behavior      string
	anchorNow     bool
	extra         []*invoiceItem
}

func updateSubscription(c *call) (any, error) {
	before, err := find[subscription](c.tx, c.id())
	if err != nil {
		return nil, err
	}
	if err := before.updatable(c); err != nil {
		return nil, err
	}
	ch := &change{before: before, after: before.copy(), at: c.now}
	if err := c.readChange(ch); err != nil {
		return nil, err
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	return c.change(ch)
}

// updatable refuses what Stripe does not let be updated in the subscription's state.
func (s *subscription) updatable(c *call) error {
	charges := c.Has("items") || c.Has("billing_cycle_anchor") || c.Has("trial_end") || c.Has("add_invoice_items")
	switch {
	case s.ended() && (charges || c.Has("cancel_at_period_end") || c.Has("cancel_at")):
		return invalid("", "A canceled subscription can only update its cancellation_details and metadata.")
	case s.Status == statusIncomplete && charges:
		return invalid("", "You cannot update a subscription in `incomplete` status in a way that changes what it charges. "+
			"Pay its first invoice or create another subscription.")
	case s.Schedule != nil && (c.Has("cancel_at_period_end") || c.Has("cancel_at")):
		return invalid("cancel_at_period_end", "The subscription is managed by the subscription schedule `%s`, and updating any "+
			"cancelation behavior directly is not allowed. Please update the schedule instead.", *s.Schedule)
	}
	return nil
}

// pendingParams are all that may go with pending_if_incomplete.
var pendingParams = []string{
	"add_invoice_items", "billing_cycle_anchor", "expand", "items", "payment_behavior",
	"proration_behavior", "proration_date", "trial_end", "trial_from_plan",
}

func (c *call) readChange(ch *change) error {
	if err := c.readProration(ch); err != nil {
		return err
	}
	if ch.behavior == pendingIfIncomplete {
		for _, name := range c.Names() {
			if !slices.Contains(pendingParams, name) {
				return invalid(name, "When `payment_behavior` is set to `pending_if_incomplete`, you can only pass: "+
					"add_invoice_items, billing_cycle_anchor, items, proration_behavior, proration_date, trial_end. You passed %s.", name)
			}
		}
	}
	if err := c.readItems(ch.after); err != nil {
		return err
	}
	if len(ch.after.Items.Data) == 0 {
		return invalid("items", "A subscription must have at least one active plan.")
	}
	ch.anchorNow = c.OneOf("billing_cycle_anchor", "now", "unchanged") == "now"
	c.Flag("trial_from_plan")
	if err := c.readTrialEnd(ch); err != nil {
		return err
	}
	var err error
	if ch.extra, err = c.readExtraItems(ch.after); err != nil {
		return err
	}
	return c.readSettings(ch.after)
}

// readProration takes how a change is charged.
func (c *call) readProration(ch *change) error {
	ch.behavior = c.OneOf("payment_behavior", allowIncomplete, defaultIncomplete, errorIfIncomplete, pendingIfIncomplete)
	if ch.proration = c.OneOf("proration_behavior", prorateCreate, prorateAlways, prorateNone); ch.proration == "" {
		ch.proration = prorateCreate
	}
	if at := c.Int("proration_date"); at != nil {
		if ch.at = *at; ch.at < ch.before.CurrentPeriodStart || ch.at > ch.before.CurrentPeriodEnd {
			return invalid("proration_date", "Invalid proration date: it must be within the current billing period.")
		}
	}
	return nil
}

func (c *call) readTrialEnd(ch *change) error {
	switch c.String("trial_end") {
	case "":
		return nil
	case "now":
		if ch.before.Status == statusTrialing {
			ch.after.TrialEnd, ch.anchorNow = &c.now, true
		}
		return nil
	}
	end := c.Int("trial_end")
	if end == nil || *end <= c.now {
		return invalid("trial_end", "trial_end must be a time in the future, or `now`.")
	}
	ch.after.TrialEnd = end
	if ch.after.TrialStart == nil || ch.before.Status != statusTrialing {
		ch.after.TrialStart = &c.now
	}
	return nil
}

// change applies an update, and invoices and collects what it costs now.
func (t *tx) change(ch *change) (*subscription, error) {
	reset := t.resetPeriod(ch)
	var items []*invoiceItem
	if ch.proration != prorateNone && ch.before.Status != statusTrialing {
		items = t.prorations(ch.before, ch.after, ch.at)
	}
	charges := reset || len(items) > 0
	if charges && ch.before.PendingUpdate != nil {
		if err := t.dropPending(ch); err != nil {
			return nil, err
		}
	}
	for _, item := range append(items, ch.extra...) {
		if err := created(t, item, "invoiceitem.created"); err != nil {
			return nil, err
		}
	}
	if err := t.scheduleChange(ch); err != nil {
		return nil, err
	}
	if reset || (ch.proration == prorateAlways && len(items) > 0) {
		return t.invoiceChange(ch, reset)
	}
	return ch.after, t.changed(ch.after)
}

// changed stores a subscription with other items. Those are then the items of the
// current phase, too: a schedule must not bring back what was changed by hand.
func (t *tx) changed(sub *subscription) error {
	if sub.Schedule != nil {
		s, err := store.Get[schedule](t.Tx, *sub.Schedule)
		if err != nil {
			return err
		}
		if p := s.current(t.now); p != nil {
			p.Items, p.Coupon = phaseOf(sub).Items, phaseOf(sub).Coupon
		}
		if err := updated(t, s, "subscription_schedule.updated"); err != nil {
			return err
		}
	}
	return updated(t, sub, "customer.subscription.updated")
}

// resetPeriod begins a new billing period when the change asks for it, or brings
// one about: another interval, from free to paid, the beginning or end of a trial.
func (t *tx) resetPeriod(ch *change) bool {
	before, after := ch.before, ch.after
	if after.TrialEnd != nil && *after.TrialEnd > t.now {
		if before.TrialEnd != nil && *before.TrialEnd == *after.TrialEnd {
			return false // the trial goes on whatever the items are
		}
		after.Status, after.BillingCycleAnchor = statusTrialing, *after.TrialEnd
		after.CurrentPeriodStart, after.CurrentPeriodEnd = t.now, *after.TrialEnd
		return true
	}
	unit, count := before.interval()
	newUnit, newCount := after.interval()
	if !ch.anchorNow && unit == newUnit && count == newCount && !before.becomesPaid(after) {
		return false
	}
	if after.Status == statusTrialing {
		after.Status = statusActive
	}
	after.BillingCycleAnchor, after.CurrentPeriodStart = t.now, t.now
	after.CurrentPeriodEnd = after.periodEnd(t.now)
	return true
}

func (s *subscription) becomesPaid(after *subscription) bool {
	metered := slices.ContainsFunc(s.Items.Data, func(i *subscriptionItem) bool { return i.Price.metered() })
	return !metered && s.recurs() == 0 && after.recurs() > 0
}

func (t *tx) scheduleChange(ch *change) error {
	if ch.after.CurrentPeriodEnd != ch.before.CurrentPeriodEnd {
		if err := t.at(ch.after.CurrentPeriodEnd, taskPeriodEnds, ch.after.ID); err != nil {
			return err
		}
	}
	if at := ch.after.CancelAt; at != nil {
		if err := t.at(*at, taskSubscriptionCancels, ch.after.ID); err != nil {
			return err
		}
	}
	if end := ch.after.TrialEnd; end != nil && *end > t.now {
		return t.at(max(*end-trialNotice, t.now), taskTrialWillEnd, ch.after.ID)
	}
	return nil
}

// invoiceChange collects what a change costs now. With pending_if_incomplete the
// subscription stays as it was until the invoice is paid.
func (t *tx) invoiceChange(ch *change, reset bool) (*subscription, error) {
	var lines []*line
	if reset {
		ended := period{Start: ch.before.CurrentPeriodStart, End: t.now}
		metered, err := t.meteredLines(ch.before, ended)
		if err != nil {
			return nil, err
		}
		lines = append(metered, t.licensedLines(ch.after)...)
	}
	inv, err := t.draft(ch.after, "subscription_update", lines)
	if err != nil {
		return nil, err
	}
	inv.SubscriptionProration = &ch.at
	if ch.behavior != pendingIfIncomplete {
		ch.after.LatestInvoice = &inv.ID
		if err := t.changed(ch.after); err != nil {
			return nil, err
		}
		return ch.after, t.collect(inv, ch.after, ch.behavior)
	}
	sub := ch.before
	sub.LatestInvoice = &inv.ID
	sub.PendingUpdate = t.pending(ch, reset)
	if err := t.collect(inv, sub, pendingIfIncomplete); err != nil || inv.Paid {
		return sub, err
	}
	if err := t.at(sub.PendingUpdate.ExpiresAt, taskPendingUpdateExpires, sub.ID); err != nil {
		return nil, err
	}
	return sub, updated(t, sub, "customer.subscription.updated")
}

func (t *tx) pending(ch *change, reset bool) *pendingUpdate {
	p := &pendingUpdate{ExpiresAt: min(t.now+incompleteLife, ch.before.CurrentPeriodEnd), SubscriptionItems: ch.after.Items.Data}
	if reset {
		p.BillingCycleAnchor = &ch.after.BillingCycleAnchor
		p.TrialEnd = ch.after.TrialEnd
	}
	if end := ch.before.TrialEnd; end != nil && *end > t.now {
		p.ExpiresAt = min(p.ExpiresAt, *end)
	}
	return p
}

// applyPending makes a paid update come true.
func (t *tx) applyPending(sub *subscription) error {
	stored, err := store.Get[subscription](t.Tx, sub.ID)
	if err != nil {
		return err
	}
	p := sub.PendingUpdate
	sub.PendingUpdate = nil
	sub.Items.Data = p.SubscriptionItems
	if p.TrialEnd != nil {
		sub.TrialEnd = p.TrialEnd
	}
	if p.BillingCycleAnchor != nil {
		sub.BillingCycleAnchor, sub.CurrentPeriodStart = *p.BillingCycleAnchor, *p.BillingCycleAnchor
		sub.CurrentPeriodEnd = sub.periodEnd(sub.CurrentPeriodStart)
		sub.Status = statusActive
		if err := t.at(sub.CurrentPeriodEnd, taskPeriodEnds, sub.ID); err != nil {
			return err
		}
	}
	if err := t.changed(sub); err != nil || stored.PendingUpdate == nil {
		return err // an update that was paid at once has never been pending
	}
	return t.emit("customer.subscription.pending_update_applied", sub, nil)
}

// pendingUpdateExpires is a task, and also what the end of a period does: an
// update that was not paid in time is dropped and its invoice voided.
func (t *tx) pendingUpdateExpires(id string) error {
	sub, err := store.Get[subscription](t.Tx, id)
	if err != nil || sub.PendingUpdate == nil || sub.PendingUpdate.ExpiresAt > t.now {
		return err
	}
	if err := t.voidPending(sub); err != nil {
		return err
	}
	if err := updated(t, sub, "customer.subscription.updated"); err != nil {
		return err
	}
	return t.emit("customer.subscription.pending_update_expired", sub, nil)
}

func (t *tx) voidPending(sub *subscription) error {
	sub.PendingUpdate = nil
	inv, err := store.Get[invoice](t.Tx, *sub.LatestInvoice)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil || inv.Status != invoiceOpen {
		return err
	}
	return t.void(inv)
}

// dropPending lets another change take the place of one that waits to be paid.
func (t *tx) dropPending(ch *change) error {
	ch.after.PendingUpdate = nil
	if err := t.voidPending(ch.before); err != nil {
		return err
	}
	return store.Put(t.Tx, ch.before)
}
