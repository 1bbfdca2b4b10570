package plan

// Reasons of invoices, in Stripe's words.
const (
	ReasonCreate = "subscription_create"
	ReasonUpdate = "subscription_update"
)

// Invoice is what billing looks at of an invoice. Amounts are in cents.
type Invoice struct {
	ID         string
	CustomerID string
	Reason     string
	ChargeID   string
	// Open: it can still be paid.
	Open bool
	// Charged is what the card paid and was not refunded yet.
	Charged int64
	// CreditUsed is how much of the customer's balance the invoice consumed; negative when it added to it.
	CreditUsed int64
}

// MovesMoney reports whether there is something to give back, or may be when somebody pays.
func (i Invoice) MovesMoney() bool { return i.Open || i.Charged != 0 || i.CreditUsed != 0 }

// OfChange reports whether a change of ours made the invoice, not a renewal or a person.
func (i Invoice) OfChange() bool { return i.Reason == ReasonCreate || i.Reason == ReasonUpdate }
