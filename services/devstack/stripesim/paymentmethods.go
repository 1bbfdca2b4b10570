package stripesim

import (
	"tenure/services/devstack/stripesim/store"
)

type paymentMethod struct {
	ID             string            `json:"id"`
	Object         string            `json:"object"`
	BillingDetails billingDetails    `json:"billing_details"`
	Card           card              `json:"card"`
	Created        int64             `json:"created"`
	Customer       *string           `json:"customer"`
	Metadata       map[string]string `json:"metadata"`
	Type           string            `json:"type"`
}

type billingDetails struct {
	Address address `json:"address"`
	Email   *string `json:"email"`
	Name    *string `json:"name"`
	Phone   *string `json:"phone"`
}

type card struct {
	Brand    string `json:"brand"`
	ExpMonth int    `json:"exp_month"`
	ExpYear  int    `json:"exp_year"`
	Last4    string `json:"last4"`
}

func (m *paymentMethod) Key() string  { return m.ID }
func (m *paymentMethod) Kind() string { return "payment_method" }

func (m *paymentMethod) Index() []string {
	if m.Customer == nil {
		return nil
	}
	return []string{"customer=" + *m.Customer}
}

// testCards are Stripe's names for cards that behave in a known way. What a card
// does follows from its last four digits: see refusal.
var testCards = map[string]string{
	"pm_card_visa":                                 "4242",
	"pm_card_mastercard":                           "4444",
	"pm_card_chargeCustomerFail":                   "0341",
	"pm_card_chargeDeclined":                       "0002",
	"pm_card_chargeDeclinedExpiredCard":            "0069",
	"pm_card_visa_chargeDeclinedLostCard":          "9987",
	"pm_card_chargeDeclinedProcessingError":        "0119",
	"pm_card_visa_chargeDeclinedInsufficientFunds": "9995",
}

// refusal is the decline code of a card, "" for a card that works.
func refusal(last4 string) string {
	switch last4 {
	case "0341", "0002":
		return "generic_decline"
	case "0069":
		return "expired_card"
	case "9987":
		return "lost_card"
	case "0119":
		return "processing_error"
	case "9995":
		return "insufficient_funds"
	}
	return ""
}

func newCard(last4 string, now int64) *paymentMethod {
	brand := "visa"
	if last4 == "4444" {
		brand = "mastercard"
	}
	return &paymentMethod{
		ID: newID("pm"), Object: "payment_method", Created: now, Metadata: map[string]string{}, Type: "card",
		Card: card{Brand: brand, ExpMonth: 12, ExpYear: 2040, Last4: last4},
	}
}

// attach gives a customer the card with this id; the name of a test card makes a
// new one.
func (t *tx) attach(id string, cus *customer) (*paymentMethod, error) {
	var m *paymentMethod
	if last4, ok := testCards[id]; ok {
		m = newCard(last4, t.now)
	} else {
		var err error
		if m, err = refer[paymentMethod](t, id, "payment_method"); err != nil {
			return nil, err
		}
	}
	if m.Customer != nil && *m.Customer != cus.ID {
		return nil, invalid("", "The payment method you provided has already been attached to a customer.")
	}
	// Stripe checks a card when it is attached; only this one passes and fails later.
	if code := refusal(m.Card.Last4); code != "" && m.Card.Last4 != "0341" {
		return nil, declined(code)
	}
	m.Customer = &cus.ID
	m.BillingDetails.Email, m.BillingDetails.Name = cus.Email, cus.Name
	return m, created(t, m, "payment_method.attached")
}

func createPaymentMethod(c *call) (any, error) {
	if c.OneOf("type", "card"); c.Require("type") == "" {
		return nil, c.Err()
	}
	details := c.Sub("card")
	number, token := details.String("number"), details.String("token")
	details.String("exp_month")
	details.String("exp_year")
	details.String("cvc")
	last4 := "4242"
	if len(number) > 4 {
		last4 = number[len(number)-4:]
	} else if known, ok := testCards["pm_card_"+token[min(len(token), len("tok_")):]]; ok {
		last4 = known
	}
	m := newCard(last4, c.now)
	merge(c.Params, &m.Metadata)
	if err := c.Err(); err != nil {
		return nil, err
	}
	return m, store.Put(c.Tx, m)
}

func attachPaymentMethod(c *call) (any, error) {
	id := c.Require("customer")
	if err := c.Err(); err != nil {
		return nil, err
	}
	cus, err := refer[customer](c.tx, id, "customer")
	if err != nil {
		return nil, err
	}
	return c.attach(c.id(), cus)
}

func detachPaymentMethod(c *call) (any, error) {
	m, err := find[paymentMethod](c.tx, c.id())
	if err != nil {
		return nil, err
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	if m.Customer == nil {
		return nil, invalid("", "The payment method you provided is not attached to a customer so detachment is impossible.")
	}
	cus, err := refer[customer](c.tx, *m.Customer, "customer")
	if err != nil {
		return nil, err
	}
	if text(cus.InvoiceSettings.DefaultPaymentMethod) == m.ID {
		cus.InvoiceSettings.DefaultPaymentMethod = nil
		if err := updated(c.tx, cus, "customer.updated"); err != nil {
			return nil, err
		}
	}
	m.Customer = nil
	return m, updated(c.tx, m, "payment_method.detached")
}

// listPaymentMethods serves both /v1/payment_methods and a customer's own list.
func listPaymentMethods(c *call) (any, error) {
	owner := c.id()
	if owner == "" {
		owner = c.Require("customer")
	}
	kind := c.OneOf("type", "card")
	return list(c, "customer="+owner, func(m *paymentMethod) bool { return kind == "" || m.Type == kind })
}
