package stripesim

import (
	"errors"
	"net/http"
	"slices"

	"tenure/services/devstack/stripesim/form"
	"tenure/services/devstack/stripesim/store"
)

const (
	day = 24 * 60 * 60 // seconds

	// incompleteLife is how long the first payment may take.
	incompleteLife = 23 * 60 * 60
	// trialNotice is how long before its end a trial is announced.
	trialNotice = 3 * day
)

// What a call does when a payment does not succeed at once.
const (
	allowIncomplete     = "allow_incomplete"
	defaultIncomplete   = "default_incomplete"
	errorIfIncomplete   = "error_if_incomplete"
	pendingIfIncomplete = "pending_if_incomplete"
)

func createSubscription(c *call) (any, error) {
	cus, err := refer[customer](c.tx, c.Require("customer"), "customer")
	if err != nil {
		return nil, err
	}
	sub := c.newSubscription(cus)
	behavior := c.OneOf("payment_behavior", allowIncomplete, defaultIncomplete, errorIfIncomplete, pendingIfIncomplete)
	if behavior == pendingIfIncomplete {
		c.Complain("payment_behavior", "You cannot use `pending_if_incomplete` when creating a subscription.")
	}
	free := c.OneOf("proration_behavior", prorateCreate, prorateAlways, prorateNone) == prorateNone
	extra, err := c.readNew(sub)
	if err != nil {
		return nil, err
	}
	if free && sub.TrialEnd == nil && sub.BillingCycleAnchor > c.now {
		// Until the anchor nothing is charged, and there is no invoice.
		sub.Status = statusActive
		if err := c.scheduleStart(sub); err != nil {
			return nil, err
		}
		return sub, created(c.tx, sub, "customer.subscription.created")
	}
	return sub, c.start(sub, cus, extra, behavior)
}

func (t *tx) newSubscription(cus *customer) *subscription {
	sub := &subscription{
		ID: newID("sub"), Object: "subscription", CollectionMethod: "charge_automatically",
		Created: t.now, StartDate: t.now, CurrentPeriodStart: t.now, BillingCycleAnchor: t.now,
		Customer: cus.ID, Metadata: map[string]string{}, Status: statusIncomplete,
	}
	sub.TrialSettings.EndBehavior.MissingPaymentMethod = "create_invoice"
	sub.Items = listOf("/v1/subscription_items?subscription="+sub.ID, []*subscriptionItem{})
	return sub
}

// readNew takes all of a new subscription, and what else its first invoice charges.
func (c *call) readNew(sub *subscription) ([]*invoiceItem, error) {
	if err := c.readItems(sub); err != nil {
		return nil, err
	}
	if len(sub.Items.Data) == 0 {
		return nil, invalid("items", "Missing required param: items.")
	}
	if err := c.readStart(sub); err != nil {
		return nil, err
	}
	if err := c.readSettings(sub); err != nil { // after the period, which a cancellation refers to
		return nil, err
	}
	extra, err := c.readExtraItems(sub)
	if err != nil {
		return nil, err
	}
	return extra, c.Err()
}

// readStart takes what decides on the trial and on the first period.
func (c *call) readStart(sub *subscription) error {
	switch end := c.String("trial_end"); end {
	case "", "now":
	default:
		sub.TrialEnd = c.Int("trial_end")
	}
	if days := c.Int("trial_period_days"); days != nil && *days > 0 {
		end := c.now + *days*day
		sub.TrialEnd = &end
	}
	c.Flag("trial_from_plan")
	anchor := c.Int("billing_cycle_anchor")
	if err := c.Invalid(); err != nil {
		return err
	}
	switch {
	case sub.TrialEnd != nil && *sub.TrialEnd <= c.now:
		return invalid("trial_end", "trial_end must be in the future.")
	case sub.TrialEnd != nil:
		sub.TrialStart = &sub.StartDate
		sub.BillingCycleAnchor, sub.CurrentPeriodEnd = *sub.TrialEnd, *sub.TrialEnd
	case anchor != nil && *anchor < c.now:
		return invalid("billing_cycle_anchor", "billing_cycle_anchor must be in the future.")
	case anchor != nil:
		sub.BillingCycleAnchor, sub.CurrentPeriodEnd = *anchor, *anchor
	default:
		sub.CurrentPeriodEnd = sub.periodEnd(c.now)
	}
	return nil
}

// start stores a new subscription and collects its first invoice.
func (t *tx) start(sub *subscription, cus *customer, extra []*invoiceItem, behavior string) error {
	if cus.Currency == nil {
		cus.Currency = &sub.Currency
		if err := store.Put(t.Tx, cus); err != nil {
			return err
		}
	}
	if err := created(t, sub, "customer.subscription.created"); err != nil {
		return err
	}
	for _, item := range extra {
		if err := created(t, item, "invoiceitem.created"); err != nil {
			return err
		}
	}
	inv, err := t.draft(sub, "subscription_create", t.licensedLines(sub))
	if err != nil {
		return err
	}
	sub.LatestInvoice = &inv.ID
	if err := store.Put(t.Tx, sub); err != nil {
		return err
	}
	if err := t.scheduleStart(sub); err != nil {
		return err
	}
	return t.collect(inv, sub, behavior)
}

func (t *tx) scheduleStart(sub *subscription) error {
	if err := t.at(sub.CurrentPeriodEnd, taskPeriodEnds, sub.ID); err != nil {
		return err
	}
	if err := t.at(t.now+incompleteLife, taskIncompleteExpires, sub.ID); err != nil {
		return err
	}
	if sub.CancelAt != nil {
		if err := t.at(*sub.CancelAt, taskSubscriptionCancels, sub.ID); err != nil {
			return err
		}
	}
	if sub.TrialEnd == nil {
		return nil
	}
	return t.at(max(*sub.TrialEnd-trialNotice, t.now), taskTrialWillEnd, sub.ID)
}

// collect finalizes the invoice of a call and pays it as payment_behavior says.
func (t *tx) collect(inv *invoice, sub *subscription, behavior string) error {
	if err := t.finalize(inv, sub); err != nil {
		return err
	}
	switch {
	case inv.Paid:
		return nil
	case behavior == defaultIncomplete:
		// The customer confirms the payment in the browser: a moment later.
		if err := t.awaitsPayment(inv, sub); err != nil {
			return err
		}
		return t.at(t.now, taskCustomerPays, inv.ID)
	}
	err := t.attempt(inv, sub, nil)
	if refused, ok := errors.AsType[*apiError](err); ok && behavior == errorIfIncomplete {
		refused.keep = false // undoes the call
		return refused
	}
	return ignoreDecline(err)
}

// ignoreDecline lets a call go on after a payment was refused.
func ignoreDecline(err error) error {
	if e, ok := errors.AsType[*apiError](err); ok && e.status == http.StatusPaymentRequired {
		return nil
	}
	return err
}

// readItems applies the items of a call to a subscription: an entry with an id
// changes or deletes that item, one without adds an item.
func (c *call) readItems(sub *subscription) error {
	return c.applyItems(sub, c.List("items"))
}

func (t *tx) applyItems(sub *subscription, entries []*form.Params) error {
	for _, p := range entries {
		if err := t.applyItem(sub, p); err != nil {
			return err
		}
	}
	return checkItems(sub)
}

func (t *tx) applyItem(sub *subscription, p *form.Params) error {
	item, gone := (*subscriptionItem)(nil), p.Flag("deleted")
	p.Flag("clear_usage")
	if id := p.String("id"); id != "" {
		if item = sub.item(id); item == nil {
			return missing("subscription_item", id, p.Name("id"))
		}
	} else {
		item = &subscriptionItem{
			ID: newID("si"), Object: "subscription_item", Created: t.now,
			Metadata: map[string]string{}, Subscription: sub.ID,
		}
		sub.Items.Data = append(sub.Items.Data, item)
	}
	if gone {
		sub.Items.Data = slices.DeleteFunc(sub.Items.Data, func(i *subscriptionItem) bool { return i == item })
		return nil
	}
	return t.setItem(item, p)
}

// setItem takes an item's price, quantity and metadata.
func (t *tx) setItem(item *subscriptionItem, p *form.Params) error {
	if quantity := p.Int("quantity"); quantity != nil {
		item.Quantity = quantity
	}
	merge(p, &item.Metadata)
	id := p.String("price")
	if id == "" {
		id = p.String("plan")
	}
	if id == "" && item.Price == nil {
		return invalid(p.Name("price"), "Missing required param: %s.", p.Name("price"))
	}
	if id == "" {
		return nil
	}
	chosen, err := refer[price](t, id, p.Name("price"))
	if err != nil {
		return err
	}
	if chosen.Recurring == nil {
		return invalid(p.Name("price"), "The price specified is set to `type=one_time` but this field only accepts prices with `type=recurring`.")
	}
	item.setPrice(chosen)
	return nil
}

// checkItems refuses what Stripe cannot bill together.
func checkItems(sub *subscription) error {
	seen := map[string]bool{}
	for _, item := range sub.Items.Data {
		first := sub.Items.Data[0].Price
		switch p := item.Price; {
		case seen[p.ID]:
			return invalid("items", "Cannot add multiple subscription items with the same plan: %s", p.ID)
		case p.Recurring.Interval != first.Recurring.Interval || p.Recurring.IntervalCount != first.Recurring.IntervalCount:
			return invalid("items", "Currency and interval fields must match across all plans on this subscription.")
		case p.Currency != first.Currency:
			return invalid("items", "Currency and interval fields must match across all plans on this subscription.")
		}
		seen[item.Price.ID] = true
	}
	if len(sub.Items.Data) > 0 {
		sub.Currency = sub.Items.Data[0].Price.Currency
	}
	return nil
}
