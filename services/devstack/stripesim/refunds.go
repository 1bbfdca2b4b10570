package stripesim

import (
	"fmt"

	"tenure/services/devstack/stripesim/store"
)

type refund struct {
	ID            string            `json:"id"`
	Object        string            `json:"object"`
	Amount        int64             `json:"amount"`
	Charge        string            `json:"charge"`
	Created       int64             `json:"created"`
	Currency      string            `json:"currency"`
	Metadata      map[string]string `json:"metadata"`
	PaymentIntent *string           `json:"payment_intent"`
	Reason        *string           `json:"reason"`
	Status        string            `json:"status"`
}

func (r *refund) Key() string  { return r.ID }
func (r *refund) Kind() string { return "refund" }

func (r *refund) Index() []string {
	names := []string{"charge=" + r.Charge}
	if r.PaymentIntent != nil {
		names = append(names, "payment_intent="+*r.PaymentIntent)
	}
	return names
}

func createRefund(c *call) (any, error) {
	ch, err := c.refundable()
	if err != nil {
		return nil, err
	}
	rest := ch.Amount - ch.AmountRefunded
	amount := rest
	if n := c.Int("amount"); n != nil {
		amount = *n
	}
	made := &refund{
		ID: newID("re"), Object: "refund", Amount: amount, Charge: ch.ID, Created: c.now, Currency: ch.Currency,
		PaymentIntent: ch.PaymentIntent, Status: "succeeded",
		Reason: optional(c.OneOf("reason", "duplicate", "fraudulent", "requested_by_customer")),
	}
	merge(c.Params, &made.Metadata)
	if err := c.Err(); err != nil {
		return nil, err
	}
	switch {
	case rest == 0:
		e := invalid("", "Charge %s has already been refunded.", ch.ID)
		e.Code = "charge_already_refunded"
		return nil, e
	case amount <= 0:
		return nil, invalid("amount", "This value must be greater than or equal to 1.")
	case amount > rest:
		return nil, invalid("amount", "Refund amount (%s) is greater than unrefunded amount on charge (%s)", dollars(amount), dollars(rest))
	}
	ch.AmountRefunded += amount
	ch.Refunded = ch.AmountRefunded == ch.Amount
	if err := created(c.tx, made, "refund.created"); err != nil {
		return nil, err
	}
	return made, updated(c.tx, ch, "charge.refunded")
}

// refundable finds the charge by itself or by its payment intent.
func (c *call) refundable() (*charge, error) {
	id, intent := c.String("charge"), c.String("payment_intent")
	if id == "" && intent == "" {
		return nil, invalid("", "One of the following params should be provided for this request: payment_intent or charge.")
	}
	if id == "" {
		pi, err := refer[paymentIntent](c.tx, intent, "payment_intent")
		if err != nil {
			return nil, err
		}
		if pi.Status != intentSucceeded {
			return nil, invalid("payment_intent", "This PaymentIntent (%s) does not have a successful charge to refund.", pi.ID)
		}
		id = text(pi.LatestCharge)
	}
	ch, err := refer[charge](c.tx, id, "charge")
	if err != nil {
		return nil, err
	}
	if !ch.Paid {
		return nil, invalid("charge", "Charge %s has not been paid and cannot be refunded.", id)
	}
	return ch, nil
}

func listRefunds(c *call) (any, error) {
	index := ""
	if id := c.String("charge"); id != "" {
		index = "charge=" + id
	}
	if id := c.String("payment_intent"); id != "" {
		index = "payment_intent=" + id
	}
	created := c.within("created")
	return list(c, index, func(r *refund) bool { return created(r.Created) })
}

// balanceTransaction is a change of a customer's balance.
type balanceTransaction struct {
	ID            string            `json:"id"`
	Object        string            `json:"object"`
	Amount        int64             `json:"amount"`
	Created       int64             `json:"created"`
	Currency      string            `json:"currency"`
	Customer      string            `json:"customer"`
	Description   *string           `json:"description"`
	EndingBalance int64             `json:"ending_balance"`
	Invoice       *string           `json:"invoice"`
	Metadata      map[string]string `json:"metadata"`
	Type          string            `json:"type"`
}

func (b *balanceTransaction) Key() string     { return b.ID }
func (b *balanceTransaction) Kind() string    { return "customer_balance_transaction" }
func (b *balanceTransaction) Index() []string { return []string{"customer=" + b.Customer} }

// moveBalance changes a customer's balance and notes why. It stores the customer.
func (t *tx) moveBalance(cus *customer, amount int64, kind string, invoiceID *string) error {
	if amount == 0 {
		return store.Put(t.Tx, cus)
	}
	cus.Balance += amount
	entry := t.balanceEntry(cus, amount, kind)
	entry.Invoice = invoiceID
	if err := store.Put(t.Tx, entry); err != nil {
		return fmt.Errorf("note the balance of %s: %w", cus.ID, err)
	}
	return updated(t, cus, "customer.updated")
}

func (t *tx) balanceEntry(cus *customer, amount int64, kind string) *balanceTransaction {
	currency := "usd"
	if cus.Currency != nil {
		currency = *cus.Currency
	}
	return &balanceTransaction{
		ID: newID("cbtxn"), Object: "customer_balance_transaction", Amount: amount, Created: t.now,
		Currency: currency, Customer: cus.ID, EndingBalance: cus.Balance, Metadata: map[string]string{}, Type: kind,
	}
}

func createBalanceTransaction(c *call) (any, error) {
	cus, err := find[customer](c.tx, c.id())
	if err != nil {
		return nil, err
	}
	amount := c.Int("amount")
	if amount == nil {
		c.Require("amount")
	}
	currency := c.Require("currency")
	entry := c.balanceEntry(cus, 0, "adjustment")
	set(c.Params, "description", &entry.Description)
	merge(c.Params, &entry.Metadata)
	if err := c.Err(); err != nil {
		return nil, err
	}
	cus.Currency = &currency
	cus.Balance += *amount
	entry.Amount, entry.EndingBalance, entry.Currency = *amount, cus.Balance, currency
	if err := store.Put(c.Tx, entry); err != nil {
		return nil, err
	}
	return entry, updated(c.tx, cus, "customer.updated")
}

func retrieveBalanceTransaction(c *call) (any, error) {
	if err := c.Err(); err != nil {
		return nil, err
	}
	return find[balanceTransaction](c.tx, c.request.PathValue("transaction"))
}

func listBalanceTransactions(c *call) (any, error) {
	return list[balanceTransaction](c, "customer="+c.id(), nil)
}
