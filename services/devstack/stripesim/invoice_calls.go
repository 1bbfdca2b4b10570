package stripesim

import (
	"tenure/services/devstack/stripesim/store"
)

// createInvoice makes an invoice of what waits for a customer, outside any period.
func createInvoice(c *call) (any, error) {
	cus, err := refer[customer](c.tx, c.Require("customer"), "customer")
	if err != nil {
		return nil, err
	}
	inv := c.newInvoice(cus, c.String("currency"), "manual")
	inv.AutoAdvance = c.Flag("auto_advance")
	subID := c.String("subscription")
	take := c.OneOf("pending_invoice_items_behavior", "exclude", "include")
	if err := c.readInvoice(inv); err != nil {
		return nil, err
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	if inv.Currency == "" {
		if inv.Currency = text(cus.Currency); inv.Currency == "" {
			inv.Currency = "usd"
		}
	}
	if subID != "" {
		if _, err := refer[subscription](c.tx, subID, "subscription"); err != nil {
			return nil, err
		}
		inv.Subscription = &subID
	}
	// Without a subscription an invoice excludes what waits, unless it is told to.
	if take == "include" || (take == "" && subID != "") {
		waiting, err := c.pendingItems(cus.ID, subID)
		if err != nil {
			return nil, err
		}
		if len(waiting) == 0 && subID != "" {
			e := invalid("", "Nothing to invoice for subscription %s.", subID)
			e.Code = "invoice_no_subscription_line_items"
			return nil, e
		}
		for _, item := range waiting {
			item.Invoice = &inv.ID
			if err := store.Put(c.Tx, item); err != nil {
				return nil, err
			}
			inv.Lines.Data = append(inv.Lines.Data, item.line())
		}
	}
	inv.sum()
	if err := created(c.tx, inv, "invoice.created"); err != nil || !inv.AutoAdvance {
		return inv, err
	}
	return inv, c.at(c.now+draftWindow, taskFinalizeInvoice, inv.ID)
}

func (c *call) readInvoice(inv *invoice) error {
	set(c.Params, "description", &inv.Description)
	set(c.Params, "default_payment_method", &inv.DefaultPaymentMethod)
	merge(c.Params, &inv.Metadata)
	c.Sub("automatic_tax").Flag("enabled")
	if c.OneOf("collection_method", "charge_automatically", "send_invoice") == "send_invoice" {
		return invalid("collection_method", "The simulator does not send invoices: use charge_automatically.")
	}
	return nil
}

func updateInvoice(c *call) (any, error) {
	inv, err := find[invoice](c.tx, c.id())
	if err != nil {
		return nil, err
	}
	if err := c.readInvoice(inv); err != nil {
		return nil, err
	}
	advance := c.Bool("auto_advance")
	if err := c.Err(); err != nil {
		return nil, err
	}
	if advance != nil {
		inv.AutoAdvance = *advance
	}
	if err := updated(c.tx, inv, "invoice.updated"); err != nil {
		return nil, err
	}
	if inv.AutoAdvance && inv.Status == invoiceDraft {
		return inv, c.at(max(c.now, inv.Created+draftWindow), taskFinalizeInvoice, inv.ID)
	}
	return inv, nil
}

func deleteInvoice(c *call) (any, error) {
	inv, err := find[invoice](c.tx, c.id())
	if err != nil {
		return nil, err
	}
	if inv.Status != invoiceDraft || inv.Subscription != nil {
		return nil, invalid("id", "You can only delete draft invoices that are not of a subscription.")
	}
	items, err := all[invoiceItem](c.tx, "invoice="+inv.ID)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		item.Invoice = nil
		if err := store.Put(c.Tx, item); err != nil {
			return nil, err
		}
	}
	if err := c.Delete(inv); err != nil {
		return nil, err
	}
	return deleted{ID: inv.ID, Object: "invoice", Deleted: true}, c.emit("invoice.deleted", inv, nil)
}

func finalizeInvoice(c *call) (any, error) {
	inv, sub, err := c.invoiceIn(invoiceDraft)
	if err != nil {
		return nil, err
	}
	if advance := c.Bool("auto_advance"); advance != nil {
		inv.AutoAdvance = *advance
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	if err := c.finalize(inv, sub); err != nil {
		return nil, err
	}
	if inv.Paid || !inv.AutoAdvance {
		return inv, nil
	}
	// Stripe attempts the payment of a finalized invoice about an hour later.
	next := c.now + draftWindow
	inv.NextPaymentAttempt = &next
	if err := store.Put(c.Tx, inv); err != nil {
		return nil, err
	}
	return inv, c.at(next, taskRetryPayment, inv.ID)
}

// invoiceIn reads the invoice of a call that needs it in a state.
func (c *call) invoiceIn(states ...string) (*invoice, *subscription, error) {
	inv, err := find[invoice](c.tx, c.id())
	if err != nil {
		return nil, nil, err
	}
	if !oneOf(inv.Status, states) {
		if inv.Status == invoicePaid {
			e := invalid("", "Invoice is already paid")
			e.Code = "invoice_already_paid"
			return nil, nil, e
		}
		return nil, nil, invalid("", "This invoice is %s: the call needs it to be %v.", inv.Status, states)
	}
	sub, err := c.subscriptionOf(inv)
	return inv, sub, err
}

func payInvoice(c *call) (any, error) {
	inv, sub, err := c.invoiceIn(invoiceDraft, invoiceOpen, invoiceUncollectible)
	if err != nil {
		return nil, err
	}
	method := optional(c.String("payment_method"))
	outOfBand := c.Flag("paid_out_of_band")
	c.Flag("forgive")
	c.Flag("off_session")
	if err := c.Err(); err != nil {
		return nil, err
	}
	if inv.Status == invoiceDraft {
		if err := c.finalize(inv, sub); err != nil {
			return nil, err
		}
	}
	switch {
	case inv.Paid:
		return inv, nil
	case outOfBand:
		inv.PaidOutOfBand = true
		if err := c.cancelIntent(inv); err != nil {
			return nil, err
		}
		return inv, c.settled(inv, sub)
	}
	return inv, c.attempt(inv, sub, method)
}

func voidInvoice(c *call) (any, error) {
	inv, sub, err := c.invoiceIn(invoiceOpen, invoiceUncollectible)
	if err != nil {
		return nil, err
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	if sub != nil && sub.awaits(inv) {
		// Voiding its invoice is how a pending update is canceled.
		sub.PendingUpdate = nil
		if err := updated(c.tx, sub, "customer.subscription.updated"); err != nil {
			return nil, err
		}
	}
	return inv, c.void(inv)
}

func markUncollectible(c *call) (any, error) {
	inv, sub, err := c.invoiceIn(invoiceOpen)
	if err != nil {
		return nil, err
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	inv.Status, inv.NextPaymentAttempt = invoiceUncollectible, nil
	inv.StatusTransitions.MarkedUncollectibleAt = &c.now
	if err := updated(c.tx, inv, "invoice.marked_uncollectible"); err != nil {
		return nil, err
	}
	if sub != nil && sub.Status == statusPastDue && text(sub.LatestInvoice) == inv.ID {
		return inv, c.setStatus(sub, statusActive) // nothing is owed any more
	}
	return inv, nil
}

func listInvoices(c *call) (any, error) {
	index := ""
	if id := c.String("customer"); id != "" {
		index = "customer=" + id
	}
	subID := c.String("subscription")
	if subID != "" && index == "" {
		index = "subscription=" + subID
	}
	status := c.OneOf("status", invoiceDraft, invoiceOpen, invoicePaid, invoiceUncollectible, invoiceVoid)
	c.OneOf("collection_method", "charge_automatically", "send_invoice")
	created := c.within("created")
	return list(c, index, func(i *invoice) bool {
		return (status == "" || status == i.Status) && (subID == "" || text(i.Subscription) == subID) && created(i.Created)
	})
}

func listInvoiceLines(c *call) (any, error) {
	inv, err := find[invoice](c.tx, c.id())
	if err != nil {
		return nil, err
	}
	return part(c, inv.Lines.Data, (*line).key)
}
