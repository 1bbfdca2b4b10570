package events

import (
	"time"
)

// SubscriptionCreated says that Stripe has a subscription for the tenant.
type SubscriptionCreated struct {
	SubscriptionID   string     `json:"subscription_id"`
	CustomerID       string     `json:"customer_id"`
	Plan             string     `json:"plan"`
	Status           string     `json:"status"`
	CurrentPeriodEnd *time.Time `json:"current_period_end,omitempty"`
}

// EventType names the type on the bus.
func (*SubscriptionCreated) EventType() string { return "tenure.billing.subscription.created.v1" }

// SubscriptionChanged says that the subscription is on another plan and paid for.
type SubscriptionChanged struct {
	SubscriptionID   string     `json:"subscription_id"`
	FromPlan         string     `json:"from_plan,omitempty"`
	Plan             string     `json:"plan"`
	Status           string     `json:"status"`
	CurrentPeriodEnd *time.Time `json:"current_period_end,omitempty"`
	StepID           string     `json:"step_id,omitempty"`
}

// EventType names the type on the bus.
func (*SubscriptionChanged) EventType() string { return "tenure.billing.subscription.changed.v1" }

// SubscriptionCancelled says that nothing will be charged any more.
type SubscriptionCancelled struct {
	SubscriptionID string `json:"subscription_id"`
	AtPeriodEnd    bool   `json:"at_period_end,omitempty"`
}

// EventType names the type on the bus.
func (*SubscriptionCancelled) EventType() string { return "tenure.billing.subscription.cancelled.v1" }

// BillingPaymentConfirmed says that the live subscription was fetched and is paid or in its trial.
type BillingPaymentConfirmed struct {
	SubscriptionID   string     `json:"subscription_id"`
	Status           string     `json:"status"`
	CurrentPeriodEnd *time.Time `json:"current_period_end,omitempty"`
}

// EventType names the type on the bus.
func (*BillingPaymentConfirmed) EventType() string { return "tenure.billing.payment.confirmed.v1" }

// BillingPaymentFailed says that the live subscription is unpaid.
type BillingPaymentFailed struct {
	SubscriptionID string `json:"subscription_id"`
	InvoiceID      string `json:"invoice_id,omitempty"`
	Status         string `json:"status"`
}

// EventType names the type on the bus.
func (*BillingPaymentFailed) EventType() string { return "tenure.billing.payment.failed.v1" }

// BillingPaymentRecovered says that the live subscription is paid again.
type BillingPaymentRecovered struct {
	SubscriptionID   string     `json:"subscription_id"`
	Status           string     `json:"status"`
	CurrentPeriodEnd *time.Time `json:"current_period_end,omitempty"`
}

// EventType names the type on the bus.
func (*BillingPaymentRecovered) EventType() string { return "tenure.billing.payment.recovered.v1" }

// UsageUpdated tells what a tenant has used: queries in the calendar month, documents and storage now.
type UsageUpdated struct {
	Queries   int64   `json:"queries"`
	Documents int64   `json:"documents"`
	StorageGB float64 `json:"storage_gb"`
	Period    string  `json:"period"`
}

// EventType names the type on the bus.
func (*UsageUpdated) EventType() string { return "tenure.billing.usage.updated.v1" }

func init() {
	register[SubscriptionCreated]()
	register[SubscriptionChanged]()
	register[SubscriptionCancelled]()
	register[BillingPaymentConfirmed]()
	register[BillingPaymentFailed]()
	register[BillingPaymentRecovered]()
	register[UsageUpdated]()
}
