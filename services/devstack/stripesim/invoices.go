package stripesim

import (
	"fmt"
	"strconv"

	"tenure/services/devstack/stripesim/store"
)

// The states of an invoice.
const (
	invoiceDraft         = "draft"
	invoiceOpen          = "open"
	invoicePaid          = "paid"
	invoiceUncollectible = "uncollectible"
	invoiceVoid          = "void"
)

type invoice struct {
	ID                    string              `json:"id"`
	Object                string              `json:"object"`
	AmountDue             int64               `json:"amount_due"`
	AmountPaid            int64               `json:"amount_paid"`
	AmountRemaining       int64               `json:"amount_remaining"`
	AttemptCount          int64               `json:"attempt_count"`
	Attempted             bool                `json:"attempted"`
	AutoAdvance           bool                `json:"auto_advance"`
	BillingReason         string              `json:"billing_reason"`
	Charge                *string             `json:"charge"`
	CollectionMethod      string              `json:"collection_method"`
	Created               int64               `json:"created"`
	Currency              string              `json:"currency"`
	Customer              string              `json:"customer"`
	CustomerEmail         *string             `json:"customer_email"`
	CustomerName          *string             `json:"customer_name"`
	DefaultPaymentMethod  *string             `json:"default_payment_method"`
	Description           *string             `json:"description"`
	Discount              *discount           `json:"discount"`
	Discounts             []string            `json:"discounts"`
	EffectiveAt           *int64              `json:"effective_at"`
	EndingBalance         *int64              `json:"ending_balance"`
	Lines                 page[*line]         `json:"lines"`
	Metadata              map[string]string   `json:"metadata"`
	NextPaymentAttempt    *int64              `json:"next_payment_attempt"`
	Number                *string             `json:"number"`
	Paid                  bool                `json:"paid"`
	PaidOutOfBand         bool                `json:"paid_out_of_band"`
	PaymentIntent         *string             `json:"payment_intent"`
	PeriodEnd             int64               `json:"period_end"`
	PeriodStart           int64               `json:"period_start"`
	StartingBalance       int64               `json:"starting_balance"`
	Status                string              `json:"status"`
	StatusTransitions     statusTransitions   `json:"status_transitions"`
	Subscription          *string             `json:"subscription"`
	SubscriptionDetails   subscriptionDetails `json:"subscription_details"`
	SubscriptionProration *int64              `json:"subscription_proration_date,omitempty"`
	Subtotal              int64               `json:"subtotal"`
	SubtotalExcludingTax  int64               `json:"subtotal_excluding_tax"`
	Total                 int64               `json:"total"`
	TotalDiscountAmounts  []discountAmount    `json:"total_discount_amounts"`
	TotalExcludingTax     int64               `json:"total_excluding_tax"`
	WebhooksDeliveredAt   *int64              `json:"webhooks_delivered_at"`
}

type statusTransitions struct {
	FinalizedAt           *int64 `json:"finalized_at"`
	MarkedUncollectibleAt *int64 `json:"marked_uncollectible_at"`
	PaidAt                *int64 `json:"paid_at"`
	VoidedAt              *int64 `json:"voided_at"`
}

type subscriptionDetails struct {
	Metadata map[string]string `json:"metadata"`
}

type discountAmount struct {
	Amount   int64  `json:"amount"`
	Discount string `json:"discount"`
}

func (i *invoice) Key() string  { return i.ID }
func (i *invoice) Kind() string { return "invoice" }

func (i *invoice) Index() []string {
	names := []string{"customer=" + i.Customer}
	if i.Subscription != nil {
		names = append(names, "subscription="+*i.Subscription)
	}
	return names
}

// draft stores a new invoice of a subscription, with its lines and all items
// that wait for an invoice of it.
func (t *tx) draft(sub *subscription, reason string, lines []*line) (*invoice, error) {
	cus, err := store.Get[customer](t.Tx, sub.Customer)
	if err != nil {
		return nil, fmt.Errorf("customer of %s: %w", sub.ID, err)
	}
	inv := t.newInvoice(cus, sub.Currency, reason)
	inv.Subscription = &sub.ID
	inv.SubscriptionDetails.Metadata = sub.Metadata
	inv.DefaultPaymentMethod = sub.DefaultPaymentMethod
	if sub.Discount.holds(t.now) {
		inv.Discount = sub.Discount
	}
	waiting, err := t.pendingItems(sub.Customer, sub.ID)
	if err != nil {
		return nil, err
	}
	for _, item := range waiting {
		item.Invoice = &inv.ID
		if err := store.Put(t.Tx, item); err != nil {
			return nil, err
		}
		inv.Lines.Data = append(inv.Lines.Data, item.line())
	}
	inv.Lines.Data = append(inv.Lines.Data, lines...)
	inv.sum()
	return inv, created(t, inv, "invoice.created")
}

func (t *tx) newInvoice(cus *customer, currency, reason string) *invoice {
	inv := &invoice{
		ID: newID("in"), Object: "invoice", AutoAdvance: true, BillingReason: reason,
		CollectionMethod: "charge_automatically", Created: t.now, Currency: currency,
		Customer: cus.ID, CustomerEmail: cus.Email, CustomerName: cus.Name, Discounts: []string{},
		Metadata: map[string]string{}, PeriodEnd: t.now, PeriodStart: t.now, Status: invoiceDraft,
		TotalDiscountAmounts: []discountAmount{}, StartingBalance: cus.Balance,
	}
	if cus.Discount.holds(t.now) {
		inv.Discount = cus.Discount
	}
	inv.Lines = listOf("/v1/invoices/"+inv.ID+"/lines", []*line{})
	return inv
}

// sum computes the totals from the lines, the discount and the customer's balance.
// Stripe applies the balance when the invoice is finalized; a draft shows what it would be.
func (i *invoice) sum() {
	i.Subtotal, i.Total = 0, 0
	discountable := int64(0)
	for _, l := range i.Lines.Data {
		i.Subtotal += l.Amount
		if l.Discountable {
			discountable += l.Amount
		}
	}
	i.Total = i.Subtotal
	i.TotalDiscountAmounts = []discountAmount{}
	if i.Discount != nil {
		off := i.Discount.Coupon.off(discountable)
		i.Total -= off
		i.TotalDiscountAmounts = append(i.TotalDiscountAmounts, discountAmount{Amount: off, Discount: i.Discount.ID})
	}
	i.SubtotalExcludingTax, i.TotalExcludingTax = i.Subtotal, i.Total
	i.AmountDue = max(i.Total+i.StartingBalance, 0)
	i.AmountRemaining = i.AmountDue - i.AmountPaid
}

// minimumCharge is the least that Stripe charges a card with, in cents. What is
// below stays on the customer's balance.
const minimumCharge = 50

// finalize fixes a draft's amounts and opens it. One that needs no payment is
// paid at once. The caller attempts the payment.
func (t *tx) finalize(inv *invoice, sub *subscription) error {
	cus, err := store.Get[customer](t.Tx, inv.Customer)
	if err != nil {
		return fmt.Errorf("customer of %s: %w", inv.ID, err)
	}
	if err := t.countUsage(inv, sub); err != nil {
		return err
	}
	inv.StartingBalance = cus.Balance
	inv.sum()
	ending := inv.StartingBalance + inv.Total - inv.AmountDue
	if inv.AmountDue > 0 && inv.AmountDue < minimumCharge {
		ending += inv.AmountDue
		inv.AmountDue, inv.AmountRemaining = 0, 0
	}
	inv.EndingBalance, inv.EffectiveAt = &ending, &t.now
	number := cus.InvoicePrefix + "-" + fmt.Sprintf("%04d", cus.NextInvoiceSequence)
	cus.NextInvoiceSequence++
	inv.Number = &number
	inv.Status, inv.StatusTransitions.FinalizedAt = invoiceOpen, &t.now
	inv.NextPaymentAttempt = nil
	if err := t.moveBalance(cus, ending-inv.StartingBalance, "applied_to_invoice", &inv.ID); err != nil {
		return err
	}
	if err := t.useOnce(inv, cus, sub); err != nil {
		return err
	}
	if inv.AmountDue > 0 {
		if err := t.openIntent(inv, cus); err != nil {
			return err
		}
	}
	if err := store.Put(t.Tx, inv); err != nil {
		return err
	}
	if err := t.emit("invoice.finalized", inv, nil); err != nil {
		return err
	}
	if inv.AmountDue == 0 {
		return t.settled(inv, sub)
	}
	return nil
}

// useOnce ends a discount of one invoice.
func (t *tx) useOnce(inv *invoice, cus *customer, sub *subscription) error {
	if inv.Discount == nil || inv.Discount.Coupon.Duration != "once" {
		return nil
	}
	if sub != nil && sub.Discount != nil && sub.Discount.ID == inv.Discount.ID {
		sub.Discount = nil
		return store.Put(t.Tx, sub)
	}
	cus.Discount = nil
	return store.Put(t.Tx, cus)
}

// settled marks an invoice as paid and lets its subscription go on.
func (t *tx) settled(inv *invoice, sub *subscription) error {
	inv.Status, inv.Paid, inv.Attempted = invoicePaid, true, true
	inv.AmountPaid, inv.AmountRemaining = inv.AmountDue, 0
	inv.NextPaymentAttempt, inv.StatusTransitions.PaidAt = nil, &t.now
	if err := store.Put(t.Tx, inv); err != nil {
		return err
	}
	for _, kind := range []string{"invoice.paid", "invoice.payment_succeeded"} {
		if err := t.emit(kind, inv, nil); err != nil {
			return err
		}
	}
	return t.invoicePaid(inv, sub)
}

// void ends an open invoice without payment; what the customer's balance paid goes back.
func (t *tx) void(inv *invoice) error {
	inv.Status, inv.AutoAdvance, inv.NextPaymentAttempt = invoiceVoid, false, nil
	inv.StatusTransitions.VoidedAt = &t.now
	cus, err := store.Get[customer](t.Tx, inv.Customer)
	if err != nil {
		return fmt.Errorf("customer of %s: %w", inv.ID, err)
	}
	if inv.EndingBalance != nil {
		if err := t.moveBalance(cus, inv.StartingBalance-*inv.EndingBalance, "unapplied_from_invoice", &inv.ID); err != nil {
			return err
		}
	}
	if err := t.cancelIntent(inv); err != nil {
		return err
	}
	return updated(t, inv, "invoice.voided")
}

// subscriptionOf is nil for an invoice without one.
func (t *tx) subscriptionOf(inv *invoice) (*subscription, error) {
	if inv.Subscription == nil {
		return nil, nil
	}
	sub, err := store.Get[subscription](t.Tx, *inv.Subscription)
	if err != nil {
		return nil, fmt.Errorf("subscription of %s: %w", inv.ID, err)
	}
	return sub, nil
}

// dollars shows an amount as Stripe's descriptions do.
func dollars(cents int64) string { return "$" + strconv.FormatFloat(float64(cents)/100, 'f', 2, 64) }
