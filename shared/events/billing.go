package events

import (
	"time"
)

// OfLife says which of a tenant's lives a fact of billing's is about: news of one that is over change nothing in the next.
type OfLife struct {
	// Generation counts the lives of this id, from 1.
	Generation int64 `json:"generation,omitempty"`
}

// SetGeneration says whose life it is.
func (l *OfLife) SetGeneration(n int64) { l.Generation = n }

// SubscriptionCreated says that Stripe has a subscription for the tenant.
type SubscriptionCreated struct {
	OfLife
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
	OfLife
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
	OfLife
	SubscriptionID string `json:"subscription_id"`
	AtPeriodEnd    bool   `json:"at_period_end,omitempty"`
}

// EventType names the type on the bus.
func (*SubscriptionCancelled) EventType() string { return "tenure.billing.subscription.cancelled.v1" }

// SubscriptionScheduled says that Stripe goes over to another plan when the period ends.
type SubscriptionScheduled struct {
	SubscriptionID string `json:"subscription_id"`
	FromPlan       string `json:"from_plan"`
	Plan           string `json:"plan"`
	// EffectiveAt is the end of the period that is paid for, by Stripe's clock.
	EffectiveAt time.Time `json:"effective_at"`
}

// EventType names the type on the bus.
func (*SubscriptionScheduled) EventType() string { return "tenure.billing.subscription.scheduled.v1" }

// SubscriptionUnscheduled says that Stripe stays with the plan it is on.
type SubscriptionUnscheduled struct {
	SubscriptionID string `json:"subscription_id"`
	Plan           string `json:"plan"`
}

// EventType names the type on the bus.
func (*SubscriptionUnscheduled) EventType() string {
	return "tenure.billing.subscription.unscheduled.v1"
}

// BillingPaymentConfirmed says that the live subscription was fetched and is paid or in its trial.
type BillingPaymentConfirmed struct {
	OfLife
	SubscriptionID   string     `json:"subscription_id"`
	Status           string     `json:"status"`
	CurrentPeriodEnd *time.Time `json:"current_period_end,omitempty"`
}

// EventType names the type on the bus.
func (*BillingPaymentConfirmed) EventType() string { return "tenure.billing.payment.confirmed.v1" }

// BillingPaymentFailed says that the live subscription is unpaid.
type BillingPaymentFailed struct {
	OfLife
	SubscriptionID string `json:"subscription_id"`
	InvoiceID      string `json:"invoice_id,omitempty"`
	Status         string `json:"status"`
}

// EventType names the type on the bus.
func (*BillingPaymentFailed) EventType() string { return "tenure.billing.payment.failed.v1" }

// BillingPaymentRecovered says that the live subscription is paid again.
type BillingPaymentRecovered struct {
	OfLife
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

// UsageThresholdReached says that a tenant has used up a part of what its plan allows: once per metric, share and period.
type UsageThresholdReached struct {
	Metric string `json:"metric"`
	// Percent of the limit: 80 or 100.
	Percent int     `json:"percent" jsonschema:"enum=80,enum=100"`
	Usage   float64 `json:"usage"`
	Limit   float64 `json:"limit"`
	Plan    string  `json:"plan"`
	// Period is the calendar month of a metric that is counted per month.
	Period string `json:"period,omitempty"`
}

// EventType names the type on the bus.
func (*UsageThresholdReached) EventType() string { return "tenure.billing.usage.threshold_reached.v1" }

// UsageBilled says what of a metric stands on the invoice of a period that is over.
type UsageBilled struct {
	SubscriptionID string    `json:"subscription_id"`
	Metric         string    `json:"metric"`
	Quantity       int64     `json:"quantity"`
	PeriodStart    time.Time `json:"period_start"`
	PeriodEnd      time.Time `json:"period_end"`
}

// EventType names the type on the bus.
func (*UsageBilled) EventType() string { return "tenure.billing.usage.billed.v1" }

// DriftFound says that Stripe shows something else than the log, or no longer does: once for each difference.
type DriftFound struct {
	// Kind names the difference, for programs.
	Kind           string `json:"kind"`
	Detail         string `json:"detail"`
	SubscriptionID string `json:"subscription_id,omitempty"`
	// Plan is the one that the tenant is on, LivePlan the one that Stripe charges for.
	Plan     string `json:"plan,omitempty"`
	LivePlan string `json:"live_plan,omitempty"`
	// Healed: Tenure has set it right. Otherwise a person has to decide.
	Healed bool `json:"healed,omitempty"`
}

// EventType names the type on the bus.
func (*DriftFound) EventType() string { return "tenure.billing.drift.found.v1" }

func init() {
	register[SubscriptionScheduled]()
	register[SubscriptionUnscheduled]()
	register[UsageThresholdReached]()
	register[UsageBilled]()
	register[DriftFound]()
	register[SubscriptionCreated]()
	register[SubscriptionChanged]()
	register[SubscriptionCancelled]()
	register[BillingPaymentConfirmed]()
	register[BillingPaymentFailed]()
	register[BillingPaymentRecovered]()
	register[UsageUpdated]()
}
