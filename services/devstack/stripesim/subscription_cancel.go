package stripesim

import (
	"net/http"

	"tenure/services/devstack/stripesim/store"
)

// cancelOptions say what a cancellation still charges or gives back.
type cancelOptions struct {
	invoiceNow bool // charge pending items and usage
	prorate    bool // credit the time that is left
}

func cancelSubscription(c *call) (any, error) {
	sub, err := find[subscription](c.tx, c.id())
	if err != nil {
		return nil, err
	}
	options := cancelOptions{invoiceNow: c.Flag("invoice_now"), prorate: c.Flag("prorate")}
	details := c.Sub("cancellation_details")
	set(details, "comment", &sub.CancellationDetails.Comment)
	set(details, "feedback", &sub.CancellationDetails.Feedback)
	if err := c.Err(); err != nil {
		return nil, err
	}
	if sub.ended() {
		e := missing("subscription", sub.ID, "id")
		e.status = http.StatusNotFound // Stripe does not find a canceled subscription to cancel
		return nil, e
	}
	if sub.CancellationDetails.Reason == nil {
		sub.CancellationDetails.Reason = optional("cancellation_requested")
	}
	return sub, c.cancelNow(sub, options)
}

// cancelNow ends a subscription. Its unpaid invoices stay, but nothing collects
// them any more; that of an incomplete one is void.
func (t *tx) cancelNow(sub *subscription, options cancelOptions) error {
	status := statusCanceled
	if sub.Status == statusIncomplete {
		status = statusIncompleteExpired
	}
	if sub.PendingUpdate != nil {
		if err := t.voidPending(sub); err != nil {
			return err
		}
	}
	if err := t.lastInvoice(sub, options); err != nil {
		return err
	}
	if err := t.stopCollection(sub, status == statusIncompleteExpired); err != nil {
		return err
	}
	if err := t.endSchedule(sub); err != nil {
		return err
	}
	sub.Status, sub.EndedAt = status, &t.now
	if sub.CanceledAt == nil {
		sub.CanceledAt = &t.now
	}
	if status == statusIncompleteExpired {
		return updated(t, sub, "customer.subscription.updated")
	}
	if err := store.Put(t.Tx, sub); err != nil {
		return err
	}
	return t.emit("customer.subscription.deleted", sub, nil)
}

// lastInvoice credits and charges what a cancellation leaves open. Items that are
// not invoiced are removed: no invoice would ever take them.
func (t *tx) lastInvoice(sub *subscription, options cancelOptions) error {
	if options.prorate && sub.Status != statusTrialing && sub.Status != statusIncomplete {
		after := sub.copy()
		after.Items.Data = nil
		for _, item := range t.prorations(sub, after, t.now) {
			if err := created(t, item, "invoiceitem.created"); err != nil {
				return err
			}
		}
	}
	waiting, err := t.pendingItems(sub.Customer, sub.ID)
	if err != nil {
		return err
	}
	var lines []*line
	if options.invoiceNow {
		lines, err = t.meteredLines(sub, period{Start: sub.CurrentPeriodStart, End: t.now})
		if err != nil {
			return err
		}
	}
	if options.invoiceNow && len(waiting)+len(lines) > 0 {
		inv, err := t.draft(sub, "subscription_update", lines)
		if err != nil {
			return err
		}
		sub.LatestInvoice = &inv.ID
		return t.collect(inv, sub, allowIncomplete)
	}
	for _, item := range waiting {
		if item.Subscription == nil || options.prorate {
			continue // a credit stays for the customer's next invoice
		}
		if err := t.Delete(item); err != nil {
			return err
		}
		if err := t.emit("invoiceitem.deleted", item, nil); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) stopCollection(sub *subscription, void bool) error {
	invoices, err := all[invoice](t, "subscription="+sub.ID)
	if err != nil {
		return err
	}
	for _, inv := range invoices {
		switch {
		case inv.Status != invoiceOpen && inv.Status != invoiceDraft:
		case void && inv.Status == invoiceOpen:
			err = t.void(inv)
		default:
			inv.AutoAdvance, inv.NextPaymentAttempt = false, nil
			err = updated(t, inv, "invoice.updated")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// cancelDue is a task: cancel_at has come.
func (t *tx) cancelDue(id string) error {
	sub, err := store.Get[subscription](t.Tx, id)
	if err != nil || sub.ended() || sub.CancelAt == nil || *sub.CancelAt > t.now {
		return err
	}
	return t.cancelNow(sub, cancelOptions{invoiceNow: true})
}

// incompleteExpires is a task: the first payment has not come in time.
func (t *tx) incompleteExpires(id string) error {
	sub, err := store.Get[subscription](t.Tx, id)
	if err != nil || sub.Status != statusIncomplete {
		return err
	}
	return t.cancelNow(sub, cancelOptions{})
}
