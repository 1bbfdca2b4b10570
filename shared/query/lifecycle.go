package query

import "time"

// LifecycleTenant asks the lifecycle how a tenant is now.
const LifecycleTenant = "tenure.queries.lifecycle.tenant"

// TenantRequest names the tenant.
type TenantRequest struct {
	Tenant string `json:"tenant"`
}

// Tenant is how it is. It names no person.
type Tenant struct {
	Tenant     string `json:"tenant"`
	Generation int64  `json:"generation"`
	// State of the state machine; Status is the same, or exporting.
	State   string `json:"state"`
	Status  string `json:"status"`
	Version int64  `json:"version"`
	Plan    string `json:"plan"`
	// Restorable: its data is there, so that a return need not be a fresh start.
	Restorable bool `json:"restorable"`
	// DeletionDue is when the purge of a leaving tenant may begin.
	DeletionDue *time.Time `json:"deletion_due,omitempty"`
	// PendingPlan is that of a scheduled downgrade, PendingDue when it takes effect. Of a leaving tenant it is the one that
	// made way, and comes back with a return to the plan it had.
	PendingPlan string     `json:"pending_plan,omitempty"`
	PendingDue  *time.Time `json:"pending_due,omitempty"`
	// Plans are all that there are, from the lowest to the highest.
	Plans []Plan `json:"plans"`
}

// Plan is one of the catalogue.
type Plan struct {
	Name string `json:"name"`
	// PriceCents is of a month, without usage.
	PriceCents int64 `json:"price_cents"`
}

// LifecyclePreview asks the lifecycle what a command would do now. Nothing is changed.
const LifecyclePreview = "tenure.queries.lifecycle.preview"

// PreviewRequest is a command that is not sent.
type PreviewRequest struct {
	Tenant  string `json:"tenant"`
	Command string `json:"command"`
	// Actor is who would send it: a tenant may less than an operator.
	Actor string `json:"actor"`
	// Fields are the command's own.
	Fields map[string]any `json:"fields,omitempty"`
}

// Preview is the part of the answer of POST /v1/tenants/{id}/preview that others read; all of it is there.
type Preview struct {
	Allowed bool     `json:"allowed"`
	Refusal *Refusal `json:"refusal,omitempty"`
	// EndState is the tenant's when all that follows from the command is done.
	EndState string `json:"end_state"`
	// OverLimit are the limits of the new plan that the usage does not fit.
	OverLimit []OverLimit `json:"over_limit"`
	Cost      Cost        `json:"cost"`
	// DueAt is when a change that is scheduled then takes effect.
	DueAt *time.Time `json:"due_at,omitempty"`
	// PlanHash in the command has it refused when the facts have moved.
	PlanHash string `json:"plan_hash,omitempty"`
}

// Refusal is why a command would not be taken.
type Refusal struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// OverLimit is one limit that is exceeded.
type OverLimit struct {
	Metric string  `json:"metric"`
	Usage  float64 `json:"usage"`
	Limit  float64 `json:"limit"`
}

// Cost is what a command would do to the tenant's bill, in cents.
type Cost struct {
	Currency string `json:"currency"`
	// DueNowCents is charged at once; negative: credited.
	DueNowCents int64 `json:"due_now_cents"`
	// NextCents is the invoice at NextAt.
	NextCents int64      `json:"next_cents"`
	NextAt    *time.Time `json:"next_at,omitempty"`
	// Source is stripe, or estimate when billing did not answer in time.
	Source string `json:"source"`
}
