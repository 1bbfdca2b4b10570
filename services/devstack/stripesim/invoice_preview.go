package stripesim

import (
	"net/http"

	"tenure/services/devstack/stripesim/store"
)

// preview is an invoice that does not exist: it has no id.
type preview struct {
	*invoice
	ID string `json:"id,omitempty"`
}

// upcomingInvoice tells what the next invoice will be, or what it would be after a
// change. It writes nothing.
func upcomingInvoice(c *call) (any, error) {
	inv, err := c.upcoming()
	if err != nil {
		return nil, err
	}
	return preview{invoice: inv}, nil
}

// upcomingLines answers all lines: a preview's have no ids that a further page
// could begin after.
func upcomingLines(c *call) (any, error) {
	c.Int("limit")
	c.String("starting_after")
	inv, err := c.upcoming()
	if err != nil {
		return nil, err
	}
	inv.Lines.URL = c.request.URL.Path
	return inv.Lines, nil
}

func (c *call) upcoming() (*invoice, error) {
	ch, cus, err := c.readPreview()
	if err != nil {
		return nil, err
	}
	ending := c.Bool("subscription_cancel_at_period_end")
	now := c.Flag("subscription_cancel_now")
	if err := c.Err(); err != nil {
		return nil, err
	}
	switch {
	case ending == nil:
	case *ending:
		ch.after.cancelLater(c.now, ch.after.CurrentPeriodEnd, true)
	default:
		ch.after.CancelAt, ch.after.CancelAtPeriodEnd = nil, false
	}
	waiting, err := c.pendingItems(cus.ID, ch.after.ID)
	if err != nil {
		return nil, err
	}
	if ch.before == nil {
		return c.previewOf(cus, ch.after, waiting, c.licensedLines(ch.after)), nil
	}
	if now {
		ch.after.Items.Data = nil
	}
	reset := !now && c.resetPeriod(ch)
	var prorated []*invoiceItem
	if ch.proration != prorateNone && ch.before.Status != statusTrialing {
		prorated = c.prorations(ch.before, ch.after, ch.at)
	}
	waiting = append(waiting, prorated...)
	var lines []*line
	switch {
	case reset || now:
		lines, err = c.meteredLines(ch.before, period{Start: ch.before.CurrentPeriodStart, End: c.now})
		if !now {
			lines = append(lines, c.licensedLines(ch.after)...)
		}
	case ch.proration == prorateAlways && len(prorated) > 0: // an invoice of its own
	default:
		lines, err = c.renewalLines(ch.after)
	}
	if err != nil {
		return nil, err
	}
	if len(waiting)+len(lines) == 0 {
		e := invalid("", "No upcoming invoices for customer: %s", cus.ID)
		e.status, e.Code = http.StatusNotFound, "invoice_upcoming_none"
		return nil, e
	}
	return c.previewOf(cus, ch.after, waiting, lines), nil
}

// readPreview takes the change that is asked about. before is nil for a
// subscription that is not there yet.
func (c *call) readPreview() (*change, *customer, error) {
	customerID, subID := c.String("customer"), c.String("subscription")
	ch := &change{at: c.now, proration: prorateCreate}
	if subID != "" {
		before, err := refer[subscription](c.tx, subID, "subscription")
		if err != nil {
			return nil, nil, err
		}
		if before.ended() {
			e := invalid("", "No upcoming invoices for customer: %s", before.Customer)
			e.status, e.Code = http.StatusNotFound, "invoice_upcoming_none"
			return nil, nil, e
		}
		ch.before, ch.after, customerID = before, before.copy(), before.Customer
	}
	cus, err := refer[customer](c.tx, customerID, "customer")
	if err != nil {
		return nil, nil, err
	}
	if ch.after == nil {
		ch.after = &subscription{
			Customer: cus.ID, Created: c.now, StartDate: c.now, BillingCycleAnchor: c.now,
			CurrentPeriodStart: c.now, Metadata: map[string]string{}, Status: statusIncomplete,
		}
	}
	if err := c.applyItems(ch.after, c.List("subscription_items")); err != nil {
		return nil, nil, err
	}
	if len(ch.after.Items.Data) == 0 {
		return nil, nil, invalid("subscription", "You must pass a subscription, or subscription_items.")
	}
	if behavior := c.OneOf("subscription_proration_behavior", prorateCreate, prorateAlways, prorateNone); behavior != "" {
		ch.proration = behavior
	}
	if at := c.Int("subscription_proration_date"); at != nil {
		ch.at = *at
	}
	ch.anchorNow = c.OneOf("subscription_billing_cycle_anchor", "now", "unchanged") == "now"
	switch c.String("subscription_trial_end") {
	case "":
	case "now":
		ch.after.TrialEnd, ch.anchorNow = &c.now, true
	default:
		ch.after.TrialEnd = c.Int("subscription_trial_end")
	}
	if ch.before == nil {
		c.firstPeriod(ch.after)
	}
	if ch.after.Discount, err = c.readDiscount(ch.after.Discount, cus.ID, subID); err != nil {
		return nil, nil, err
	}
	return ch, cus, nil
}

func (t *tx) firstPeriod(sub *subscription) {
	if sub.TrialEnd != nil && *sub.TrialEnd > t.now {
		sub.CurrentPeriodEnd = *sub.TrialEnd
		return
	}
	sub.CurrentPeriodEnd = sub.periodEnd(t.now)
}

// renewalLines are those of the invoice at the end of the current period.
func (t *tx) renewalLines(sub *subscription) ([]*line, error) {
	lines, err := t.meteredLines(sub, period{Start: sub.CurrentPeriodStart, End: sub.CurrentPeriodEnd})
	if err != nil || sub.CancelAtPeriodEnd || (sub.CancelAt != nil && *sub.CancelAt <= sub.CurrentPeriodEnd) {
		return lines, err
	}
	next := sub.copy()
	if err := t.nextPhase(next); err != nil {
		return nil, err
	}
	next.Status, next.TrialEnd = statusActive, nil
	next.CurrentPeriodStart = sub.CurrentPeriodEnd
	next.CurrentPeriodEnd = next.periodEnd(sub.CurrentPeriodEnd)
	return append(lines, t.licensedLines(next)...), nil
}

// nextPhase gives the items of the phase in which the next period begins.
func (t *tx) nextPhase(sub *subscription) error {
	if sub.Schedule == nil {
		return nil
	}
	s, err := store.Get[schedule](t.Tx, *sub.Schedule)
	if err != nil {
		return err
	}
	if p := s.current(sub.CurrentPeriodEnd); p != nil && s.current(t.now) != p {
		return t.phaseItems(sub, p)
	}
	return nil
}

func (t *tx) previewOf(cus *customer, sub *subscription, waiting []*invoiceItem, lines []*line) *invoice {
	inv := t.newInvoice(cus, sub.Currency, "upcoming")
	inv.Subscription = optional(sub.ID)
	inv.SubscriptionDetails.Metadata = sub.Metadata
	inv.PeriodStart, inv.PeriodEnd = sub.CurrentPeriodStart, sub.CurrentPeriodEnd
	if sub.Discount.holds(t.now) {
		inv.Discount = sub.Discount
	}
	for _, item := range waiting {
		inv.Lines.Data = append(inv.Lines.Data, item.line())
	}
	inv.Lines.Data = append(inv.Lines.Data, lines...)
	inv.Lines.URL = "/v1/invoices/upcoming/lines"
	next := sub.CurrentPeriodEnd + draftWindow
	inv.NextPaymentAttempt = &next
	inv.sum()
	return inv
}
