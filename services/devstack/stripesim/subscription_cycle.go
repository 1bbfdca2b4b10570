package stripesim

import (
	"tenure/services/devstack/stripesim/store"
)

// periodEnds is a task: the subscription renews, converts from its trial, or ends.
func (t *tx) periodEnds(id string) error {
	sub, err := store.Get[subscription](t.Tx, id)
	if err != nil || sub.ended() || sub.CurrentPeriodEnd > t.now || sub.Status == statusPaused {
		return err
	}
	if sub.Status == statusIncomplete {
		return nil // its first payment has not even come: incompleteExpires ends it
	}
	if sub.PendingUpdate != nil {
		sub.PendingUpdate.ExpiresAt = t.now
		if err := store.Put(t.Tx, sub); err != nil {
			return err
		}
		if err := t.pendingUpdateExpires(id); err != nil {
			return err
		}
		if sub, err = store.Get[subscription](t.Tx, id); err != nil {
			return err
		}
	}
	if sub.CancelAt != nil && *sub.CancelAt <= t.now {
		return t.cancelNow(sub, cancelOptions{invoiceNow: true})
	}
	if ended, err := t.phaseBeforeRenewal(sub); err != nil || ended {
		return err
	}
	if sub.Status == statusTrialing {
		if done, err := t.trialWithoutCard(sub); err != nil || done {
			return err
		}
	}
	return t.renew(sub)
}

// renew begins the next period and drafts its invoice: the usage of the old
// period, the price of the new one and what has waited.
func (t *tx) renew(sub *subscription) error {
	ended := period{Start: sub.CurrentPeriodStart, End: sub.CurrentPeriodEnd}
	if sub.Status == statusTrialing {
		sub.Status = statusActive
	}
	sub.CurrentPeriodStart = ended.End
	sub.CurrentPeriodEnd = sub.periodEnd(ended.End)
	if err := t.at(sub.CurrentPeriodEnd, taskPeriodEnds, sub.ID); err != nil {
		return err
	}
	if sub.Discount != nil && !sub.Discount.holds(t.now) {
		sub.Discount = nil
	}
	lines, err := t.meteredLines(sub, ended)
	if err != nil {
		return err
	}
	inv, err := t.draft(sub, "subscription_cycle", append(lines, t.licensedLines(sub)...))
	if err != nil {
		return err
	}
	inv.PeriodStart, inv.PeriodEnd = ended.Start, ended.End
	sub.LatestInvoice = &inv.ID
	if err := updated(t, sub, "customer.subscription.updated"); err != nil {
		return err
	}
	return t.scheduleDraft(inv, sub)
}

// scheduleDraft lets a draft become due, unless its subscription does not collect.
func (t *tx) scheduleDraft(inv *invoice, sub *subscription) error {
	if sub.Status == statusUnpaid || sub.PauseCollection != nil {
		inv.AutoAdvance = false
	}
	if err := store.Put(t.Tx, inv); err != nil {
		return err
	}
	if p := sub.PauseCollection; p != nil && p.Behavior != "keep_as_draft" {
		return t.discard(inv, sub, p.Behavior)
	}
	if err := t.at(inv.Created+draftWindow, taskFinalizeInvoice, inv.ID); err != nil {
		return err
	}
	return t.at(inv.Created+longestDraft, taskFinalizeInvoice, inv.ID)
}

// discard ends the invoice of a paused subscription without payment.
func (t *tx) discard(inv *invoice, sub *subscription, behavior string) error {
	if err := t.finalize(inv, sub); err != nil || inv.Paid {
		return err
	}
	if behavior == "void" {
		return t.void(inv)
	}
	inv.Status, inv.StatusTransitions.MarkedUncollectibleAt = invoiceUncollectible, &t.now
	return updated(t, inv, "invoice.marked_uncollectible")
}

// trialWithoutCard ends or pauses a subscription that converts but has nothing to be charged.
func (t *tx) trialWithoutCard(sub *subscription) (done bool, err error) {
	cus, err := store.Get[customer](t.Tx, sub.Customer)
	if err != nil {
		return false, err
	}
	if sub.DefaultPaymentMethod != nil || cus.InvoiceSettings.DefaultPaymentMethod != nil {
		return false, nil
	}
	switch sub.TrialSettings.EndBehavior.MissingPaymentMethod {
	case "cancel":
		return true, t.cancelNow(sub, cancelOptions{})
	case "pause":
		sub.Status = statusPaused
		if err := updated(t, sub, "customer.subscription.updated"); err != nil {
			return true, err
		}
		return true, t.emit("customer.subscription.paused", sub, nil)
	}
	return false, nil
}

// trialWillEnd is a task: three days are left.
func (t *tx) trialWillEnd(id string) error {
	sub, err := store.Get[subscription](t.Tx, id)
	if err != nil || sub.Status != statusTrialing || sub.TrialEnd == nil || *sub.TrialEnd-trialNotice > t.now {
		return err
	}
	return t.emit("customer.subscription.trial_will_end", sub, nil)
}

// resumeSubscription begins a new period of one that was paused at its trial's end.
func resumeSubscription(c *call) (any, error) {
	sub, err := find[subscription](c.tx, c.id())
	if err != nil {
		return nil, err
	}
	c.OneOf("billing_cycle_anchor", "now", "unchanged")
	c.OneOf("proration_behavior", prorateCreate, prorateAlways, prorateNone)
	if err := c.Err(); err != nil {
		return nil, err
	}
	if sub.Status != statusPaused {
		return nil, invalid("", "Only a paused subscription can be resumed: this one is %s.", sub.Status)
	}
	sub.Status = statusActive
	sub.BillingCycleAnchor, sub.CurrentPeriodStart = c.now, c.now
	sub.CurrentPeriodEnd = sub.periodEnd(c.now)
	if err := c.at(sub.CurrentPeriodEnd, taskPeriodEnds, sub.ID); err != nil {
		return nil, err
	}
	inv, err := c.draft(sub, "subscription_cycle", c.licensedLines(sub))
	if err != nil {
		return nil, err
	}
	sub.LatestInvoice = &inv.ID
	if err := updated(c.tx, sub, "customer.subscription.updated"); err != nil {
		return nil, err
	}
	if err := c.emit("customer.subscription.resumed", sub, nil); err != nil {
		return nil, err
	}
	return sub, c.collect(inv, sub, allowIncomplete)
}
