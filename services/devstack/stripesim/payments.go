package stripesim

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"tenure/services/devstack/stripesim/store"
)

// The states of a payment intent.
const (
	intentCanceled             = "canceled"
	intentRequiresConfirmation = "requires_confirmation"
	intentRequiresMethod       = "requires_payment_method"
	intentSucceeded            = "succeeded"
)

type paymentIntent struct {
	ID               string            `json:"id"`
	Object           string            `json:"object"`
	Amount           int64             `json:"amount"`
	AmountReceived   int64             `json:"amount_received"`
	CanceledAt       *int64            `json:"canceled_at"`
	ClientSecret     string            `json:"client_secret"`
	Created          int64             `json:"created"`
	Currency         string            `json:"currency"`
	Customer         *string           `json:"customer"`
	Description      *string           `json:"description"`
	Invoice          *string           `json:"invoice"`
	LastPaymentError *apiError         `json:"last_payment_error"`
	LatestCharge     *string           `json:"latest_charge"`
	Metadata         map[string]string `json:"metadata"`
	PaymentMethod    *string           `json:"payment_method"`
	Status           string            `json:"status"`
}

func (p *paymentIntent) Key() string  { return p.ID }
func (p *paymentIntent) Kind() string { return "payment_intent" }

func (p *paymentIntent) Index() []string {
	if p.Customer == nil {
		return nil
	}
	return []string{"customer=" + *p.Customer}
}

type charge struct {
	ID             string            `json:"id"`
	Object         string            `json:"object"`
	Amount         int64             `json:"amount"`
	AmountCaptured int64             `json:"amount_captured"`
	AmountRefunded int64             `json:"amount_refunded"`
	BillingDetails billingDetails    `json:"billing_details"`
	Captured       bool              `json:"captured"`
	Created        int64             `json:"created"`
	Currency       string            `json:"currency"`
	Customer       *string           `json:"customer"`
	Description    *string           `json:"description"`
	FailureCode    *string           `json:"failure_code"`
	FailureMessage *string           `json:"failure_message"`
	Invoice        *string           `json:"invoice"`
	Metadata       map[string]string `json:"metadata"`
	Paid           bool              `json:"paid"`
	PaymentIntent  *string           `json:"payment_intent"`
	PaymentMethod  *string           `json:"payment_method"`
	Details        methodDetails     `json:"payment_method_details"`
	Refunded       bool              `json:"refunded"`
	Status         string            `json:"status"`
}

type methodDetails struct {
	Card card   `json:"card"`
	Type string `json:"type"`
}

func (c *charge) Key() string  { return c.ID }
func (c *charge) Kind() string { return "charge" }

func (c *charge) Index() []string {
	var names []string
	if c.Customer != nil {
		names = append(names, "customer="+*c.Customer)
	}
	if c.PaymentIntent != nil {
		names = append(names, "payment_intent="+*c.PaymentIntent)
	}
	return names
}

func declined(code string) *apiError {
	e := &apiError{
		status: http.StatusPaymentRequired, Type: errorCard, Code: "card_declined",
		DeclineCode: code, Message: "Your card was declined.",
	}
	switch code {
	case "insufficient_funds":
		e.Message = "Your card has insufficient funds."
	case "expired_card", "processing_error":
		e.Code, e.DeclineCode = code, ""
	}
	return e
}

// openIntent gives a finalized invoice its payment intent.
func (t *tx) openIntent(inv *invoice, cus *customer) error {
	pi := &paymentIntent{
		ID: newID("pi"), Object: "payment_intent", Amount: inv.AmountDue, Created: t.now, Currency: inv.Currency,
		Customer: &inv.Customer, Invoice: &inv.ID, Metadata: map[string]string{}, Status: intentRequiresMethod,
		Description: optional("Subscription update"),
	}
	if inv.BillingReason == "subscription_create" {
		pi.Description = optional("Subscription creation")
	}
	pi.ClientSecret = pi.ID + "_secret_" + newID("sim")
	if t.methodOf(inv, cus) != "" {
		pi.Status = intentRequiresConfirmation
	}
	inv.PaymentIntent = &pi.ID
	return created(t, pi, "payment_intent.created")
}

// methodOf is the payment method that an invoice is charged to: its own, its
// subscription's, or the customer's default. "" means that there is none.
func (t *tx) methodOf(inv *invoice, cus *customer) string {
	if inv.DefaultPaymentMethod != nil {
		return *inv.DefaultPaymentMethod
	}
	return text(cus.InvoiceSettings.DefaultPaymentMethod)
}

// tryCard is what a payment with the method comes to: nil, or the decline. What the
// control endpoint said about the tenant goes before what the card does by itself.
func (t *tx) tryCard(cus *customer, method string) (*apiError, error) {
	var told string
	if tenant := cus.tenant(); tenant != "" {
		if err := t.Value(toldKey(tenant), &told); err != nil {
			return nil, err
		}
	}
	if told == outcomeDecline {
		return declined("generic_decline"), nil
	}
	if method == "" {
		e := invalid("", "This customer has no attached payment source or default payment method.")
		e.status, e.Code = http.StatusPaymentRequired, "resource_missing"
		return e, nil
	}
	m, err := refer[paymentMethod](t, method, "payment_method")
	if err != nil {
		return nil, err
	}
	if m.Customer == nil || *m.Customer != cus.ID {
		return nil, invalid("payment_method", "The payment method %s is not attached to the customer.", method)
	}
	if code := refusal(m.Card.Last4); code != "" {
		return declined(code), nil
	}
	return nil, nil
}

// attempt tries to pay an open invoice once, with its own method when none is
// given. A decline is an *apiError with status 402; what it left behind is stored.
func (t *tx) attempt(inv *invoice, sub *subscription, method *string) error {
	cus, err := store.Get[customer](t.Tx, inv.Customer)
	if err != nil {
		return fmt.Errorf("customer of %s: %w", inv.ID, err)
	}
	if method == nil {
		method = optional(t.methodOf(inv, cus))
	}
	refused, err := t.tryCard(cus, text(method))
	if err != nil {
		return err
	}
	pi, err := store.Get[paymentIntent](t.Tx, *inv.PaymentIntent)
	if err != nil {
		return fmt.Errorf("payment intent of %s: %w", inv.ID, err)
	}
	ch, err := t.charge(pi, method, refused)
	if err != nil {
		return err
	}
	inv.Charge = &ch.ID
	inv.AttemptCount++
	inv.Attempted = true
	if refused == nil {
		return t.settled(inv, sub)
	}
	if err := t.paymentFailed(inv, sub); err != nil {
		return err
	}
	refused.Charge, refused.keep = ch.ID, true
	rendered, err := render(pi)
	if err != nil {
		return err
	}
	if refused.PaymentIntent, err = json.Marshal(rendered); err != nil {
		return fmt.Errorf("encode %s: %w", pi.ID, err)
	}
	return refused
}

// charge makes the charge of an intent and tells of its outcome.
func (t *tx) charge(pi *paymentIntent, method *string, refused *apiError) (*charge, error) {
	ch := &charge{
		ID: newID("ch"), Object: "charge", Amount: pi.Amount, Created: t.now, Currency: pi.Currency, Customer: pi.Customer,
		Description: pi.Description, Invoice: pi.Invoice, Metadata: map[string]string{}, PaymentIntent: &pi.ID,
		PaymentMethod: method, Status: "succeeded", Paid: true, Captured: true, AmountCaptured: pi.Amount,
	}
	if m, err := store.Get[paymentMethod](t.Tx, text(method)); err == nil {
		ch.Details = methodDetails{Card: m.Card, Type: m.Type}
		ch.BillingDetails = m.BillingDetails
	} else if !errors.Is(err, store.ErrNotFound) { // a refused payment may have no method
		return nil, err
	}
	pi.LatestCharge, pi.PaymentMethod = &ch.ID, method
	outcome := "succeeded"
	if refused == nil {
		pi.Status, pi.AmountReceived, pi.LastPaymentError = intentSucceeded, pi.Amount, nil
	} else {
		outcome = "failed"
		ch.Status, ch.Paid, ch.Captured, ch.AmountCaptured = "failed", false, false, 0
		ch.FailureCode, ch.FailureMessage = &refused.Code, &refused.Message
		why := *refused
		pi.Status, pi.PaymentMethod, pi.LastPaymentError = intentRequiresMethod, nil, &why
	}
	if err := created(t, ch, "charge."+outcome); err != nil {
		return nil, err
	}
	if err := store.Put(t.Tx, pi); err != nil {
		return nil, err
	}
	if refused != nil {
		outcome = "payment_failed"
	}
	return ch, t.emit("payment_intent."+outcome, pi, nil)
}

// cancelIntent ends the payment intent of an invoice that will not be paid.
func (t *tx) cancelIntent(inv *invoice) error {
	if inv.PaymentIntent == nil {
		return nil
	}
	pi, err := store.Get[paymentIntent](t.Tx, *inv.PaymentIntent)
	if err != nil {
		return fmt.Errorf("payment intent of %s: %w", inv.ID, err)
	}
	if pi.Status == intentSucceeded || pi.Status == intentCanceled {
		return nil
	}
	pi.Status, pi.CanceledAt = intentCanceled, &t.now
	return updated(t, pi, "payment_intent.canceled")
}

func confirmIntent(c *call) (any, error) {
	pi, err := find[paymentIntent](c.tx, c.id())
	if err != nil {
		return nil, err
	}
	method := optional(c.String("payment_method"))
	c.String("return_url")
	c.Flag("off_session")
	if err := c.Err(); err != nil {
		return nil, err
	}
	if pi.Status == intentSucceeded || pi.Status == intentCanceled || pi.Invoice == nil {
		e := invalid("", "You cannot confirm this PaymentIntent because it has a status of %s.", pi.Status)
		e.Code = "payment_intent_unexpected_state"
		return nil, e
	}
	inv, err := store.Get[invoice](c.Tx, *pi.Invoice)
	if err != nil {
		return nil, err
	}
	sub, err := c.subscriptionOf(inv)
	if err != nil {
		return nil, err
	}
	if err := c.attempt(inv, sub, method); err != nil {
		return nil, err
	}
	return find[paymentIntent](c.tx, pi.ID)
}

func listIntents(c *call) (any, error) {
	index := ""
	if id := c.String("customer"); id != "" {
		index = "customer=" + id
	}
	created := c.within("created")
	return list(c, index, func(p *paymentIntent) bool { return created(p.Created) })
}

func listCharges(c *call) (any, error) {
	index := ""
	if id := c.String("customer"); id != "" {
		index = "customer=" + id
	}
	if id := c.String("payment_intent"); id != "" {
		index = "payment_intent=" + id
	}
	created := c.within("created")
	return list(c, index, func(ch *charge) bool { return created(ch.Created) })
}
