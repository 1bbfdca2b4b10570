package stripesim

import (
	"errors"

	"tenure/services/devstack/stripesim/store"
)

// retryAfter are the days from one failed attempt to the next. After the last one
// Config.AfterRetries decides on the subscription.
var retryAfter = []int64{1, 3, 5, 7}

// draftWindow is how long a renewal's invoice stays a draft, so that whoever
// hears of it can still add to it.
const (
	draftWindow  = 60 * 60
	longestDraft = 72 * 60 * 60
)

// paymentFailed tells of a failed attempt, plans the next and lets the
// subscription go past due.
func (t *tx) paymentFailed(inv *invoice, sub *subscription) error {
	// The first payment and a pending update have hours, not days: nothing retries them.
	retried := inv.AutoAdvance && (sub == nil || (sub.Status != statusIncomplete && !sub.awaits(inv)))
	inv.NextPaymentAttempt = nil
	last := true
	if retried && int(inv.AttemptCount) <= len(retryAfter) {
		next := t.now + retryAfter[inv.AttemptCount-1]*day
		inv.NextPaymentAttempt, last = &next, false
		if err := t.at(next, taskRetryPayment, inv.ID); err != nil {
			return err
		}
	}
	if err := store.Put(t.Tx, inv); err != nil {
		return err
	}
	if err := t.emit("invoice.payment_failed", inv, nil); err != nil {
		return err
	}
	if !retried || sub == nil || sub.ended() {
		return nil
	}
	if last {
		return t.giveUp(sub)
	}
	return t.setStatus(sub, statusPastDue)
}

// awaits reports whether the invoice is the one that a pending update waits for.
func (s *subscription) awaits(inv *invoice) bool {
	return s.PendingUpdate != nil && text(s.LatestInvoice) == inv.ID
}

func (t *tx) giveUp(sub *subscription) error {
	if t.server.cfg.AfterRetries != statusCanceled {
		return t.setStatus(sub, t.server.cfg.AfterRetries)
	}
	sub.CancellationDetails.Reason = optional("payment_failed")
	return t.cancelNow(sub, cancelOptions{})
}

func (t *tx) setStatus(sub *subscription, status string) error {
	sub.Status = status
	return updated(t, sub, "customer.subscription.updated")
}

// awaitsPayment is a subscription whose invoice is left to the customer to confirm.
func (t *tx) awaitsPayment(inv *invoice, sub *subscription) error {
	if sub == nil || sub.Status == statusIncomplete || sub.awaits(inv) {
		return nil
	}
	return t.setStatus(sub, statusPastDue)
}

// invoicePaid lets a subscription go on with what its invoice was in the way of.
func (t *tx) invoicePaid(inv *invoice, sub *subscription) error {
	if sub == nil || sub.ended() {
		return nil
	}
	if sub.awaits(inv) {
		return t.applyPending(sub)
	}
	switch sub.Status {
	case statusIncomplete:
		status := statusActive
		if sub.TrialEnd != nil && *sub.TrialEnd > t.now {
			status = statusTrialing
		}
		return t.setStatus(sub, status)
	case statusPastDue, statusUnpaid:
		newest, err := t.newestStanding(sub)
		if err != nil || newest != inv.ID {
			return err
		}
		return t.setStatus(sub, statusActive)
	}
	return nil
}

// newestStanding is the subscription's newest invoice but for those that were voided:
// nobody can pay what a declined update has left behind.
func (t *tx) newestStanding(sub *subscription) (id string, err error) {
	invoices, err := all[invoice](t, "subscription="+sub.ID)
	for _, inv := range invoices { // the oldest first
		if inv.Status != invoiceVoid {
			id = inv.ID
		}
	}
	return id, err
}

// retryPayment is a task: a planned attempt.
func (t *tx) retryPayment(id string) error {
	inv, sub, err := t.openInvoice(id)
	if err != nil || inv == nil {
		return err
	}
	if inv.NextPaymentAttempt == nil || *inv.NextPaymentAttempt > t.now || !inv.AutoAdvance {
		return nil
	}
	return ignoreDecline(t.attempt(inv, sub, nil))
}

// customerPays is a task: the customer confirms a payment that was left to them.
func (t *tx) customerPays(id string) error {
	inv, sub, err := t.openInvoice(id)
	if err != nil || inv == nil {
		return err
	}
	return ignoreDecline(t.attempt(inv, sub, nil))
}

// openInvoice is nil when there is nothing to pay (any more).
func (t *tx) openInvoice(id string) (*invoice, *subscription, error) {
	inv, err := store.Get[invoice](t.Tx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil || inv.Status != invoiceOpen {
		return nil, nil, err
	}
	sub, err := t.subscriptionOf(inv)
	return inv, sub, err
}

// finalizeDue is a task: a draft's time is up. Stripe waits until the endpoint
// has taken invoice.created, for three days at most; delivered calls this again.
func (t *tx) finalizeDue(id string) error {
	inv, err := store.Get[invoice](t.Tx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil // the draft was deleted
	}
	if err != nil {
		return err
	}
	age := t.now - inv.Created
	unheard := t.server.webhookURL() != "" && inv.WebhooksDeliveredAt == nil && age < longestDraft
	if inv.Status != invoiceDraft || !inv.AutoAdvance || age < draftWindow || unheard {
		return nil
	}
	sub, err := t.subscriptionOf(inv)
	if err != nil {
		return err
	}
	if err := t.finalize(inv, sub); err != nil || inv.Paid {
		return err
	}
	return ignoreDecline(t.attempt(inv, sub, nil))
}
