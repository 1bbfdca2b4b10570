package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// Tenant is a tenant as it stands, or as it stood at the time that was asked for.
type Tenant struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Plan  string `json:"plan"`
	State string `json:"state"`
	// Status is the one word for people: the state, or "exporting".
	Status string `json:"status"`
	// Version counts the events of the tenant's log; Generation its lives.
	Version       int64          `json:"version"`
	Generation    int64          `json:"generation"`
	Blocks        []Block        `json:"blocks"`
	Holds         []Hold         `json:"holds"`
	Operations    []Operation    `json:"operations"`
	PendingChange *PendingChange `json:"pending_change"`
	Deletion      *Deletion      `json:"deletion"`
	// Approvals are what operators asked for and another one has to approve.
	Approvals []Approval `json:"approvals"`
	// Exempt: access stays open whatever the tenant owes.
	Exempt          bool      `json:"exempt"`
	Usage           Figures   `json:"usage"`
	Limits          Figures   `json:"limits"`
	AllowedCommands []string  `json:"allowed_commands"`
	CreatedAt       time.Time `json:"created_at"`
}

// Block is a reason why access is limited: payment, trial, admin, abuse or over_limit.
type Block struct {
	Kind   string    `json:"kind"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

// Hold forbids every destructive step.
type Hold struct {
	ID     string    `json:"id"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

// PendingChange is a plan change that waits for its time.
type PendingChange struct {
	Command    string    `json:"command"`
	Plan       string    `json:"plan"`
	DueAt      time.Time `json:"due_at"`
	Resolution string    `json:"resolution"`
}

// Figures are what a tenant used, or may use; a limit of 0 is none. Queries count per calendar month.
type Figures struct {
	Queries   int64   `json:"queries"`
	Documents int64   `json:"documents"`
	StorageGB float64 `json:"storage_gb"`
}

// TenantFilter narrows a list; empty fields do not.
type TenantFilter struct {
	State, Plan string
	// Q is a part of the id or the name.
	Q string
}

// Tenant reads one tenant.
func (c *Client) Tenant(ctx context.Context, id string) (Tenant, error) {
	return get[Tenant](ctx, c, tenantPath(id, ""), nil)
}

// TenantAsOf reads one tenant as it was.
func (c *Client) TenantAsOf(ctx context.Context, id string, at time.Time) (Tenant, error) {
	return get[Tenant](ctx, c, tenantPath(id, ""), url.Values{"as_of": {at.UTC().Format(time.RFC3339Nano)}})
}

// Tenants lists tenants. An error comes once, as the last.
func (c *Client) Tenants(ctx context.Context, f TenantFilter) iter.Seq2[Tenant, error] {
	return pages[Tenant](ctx, c, "/v1/tenants", values("state", f.State, "plan", f.Plan, "q", f.Q))
}

// Register is the command that signs a tenant up.
type Register struct {
	// ID is made up by Tenure when empty.
	ID        string `json:"id,omitempty"`
	Name      string `json:"name"`
	Email     string `json:"email"`
	Plan      string `json:"plan"`
	Region    string `json:"region,omitempty"`
	GDPR      bool   `json:"gdpr,omitempty"`
	TrialDays int    `json:"trial_days,omitempty"`
}

// Register signs a tenant up.
func (c *Client) Register(ctx context.Context, cmd Register, opts ...Option) (Tenant, error) {
	return post[Tenant](ctx, c, "/v1/tenants", cmd, opts)
}

// CancelSignup gives up a sign-up that was not paid for.
func (c *Client) CancelSignup(ctx context.Context, id string, opts ...Option) error {
	_, err := post[ignored](ctx, c, tenantPath(id, "/cancel-signup"), nil, opts)
	return err
}

// Upgrade is the command for a higher plan.
type Upgrade struct {
	Plan   string `json:"plan"`
	Reason string `json:"reason,omitempty"`
	// PlanHash is a preview's: the command is refused (CodePlanChanged) when the facts have moved since. Empty: not looked at.
	PlanHash string `json:"plan_hash,omitempty"`
}

// Upgrade begins the change to a higher plan.
func (c *Client) Upgrade(ctx context.Context, id string, cmd Upgrade, opts ...Option) (Operation, error) {
	return post[Operation](ctx, c, tenantPath(id, "/upgrade"), cmd, opts)
}

// Downgrade is the command for a lower plan.
type Downgrade struct {
	Plan string `json:"plan"`
	// At is period_end (the default) or now.
	At string `json:"at,omitempty"`
	// Resolution of what does not fit: refuse (the default), freeze or archive.
	Resolution string `json:"resolution,omitempty"`
	Reason     string `json:"reason,omitempty"`
	// PlanHash is a preview's, as in Upgrade.
	PlanHash string `json:"plan_hash,omitempty"`
}

// Downgrade begins or schedules the change to a lower plan.
func (c *Client) Downgrade(ctx context.Context, id string, cmd Downgrade, opts ...Option) (Operation, error) {
	return post[Operation](ctx, c, tenantPath(id, "/downgrade"), cmd, opts)
}

// CancelPendingChange drops the scheduled change.
func (c *Client) CancelPendingChange(ctx context.Context, id string, opts ...Option) (Tenant, error) {
	return post[Tenant](ctx, c, tenantPath(id, "/pending-change/cancel"), nil, opts)
}

type reason struct {
	Reason string `json:"reason,omitempty"`
}

// Suspend closes access.
func (c *Client) Suspend(ctx context.Context, id, why string, opts ...Option) error {
	_, err := post[ignored](ctx, c, tenantPath(id, "/suspend"), reason{why}, opts)
	return err
}

// Resume lifts what Suspend did.
func (c *Client) Resume(ctx context.Context, id, why string, opts ...Option) error {
	_, err := post[ignored](ctx, c, tenantPath(id, "/resume"), reason{why}, opts)
	return err
}

// Reactivate is the command that brings a suspended, leaving or deleted tenant back.
type Reactivate struct {
	Plan string `json:"plan,omitempty"`
	// RestoreData: nil is true. A deleted tenant can only begin afresh.
	RestoreData *bool `json:"restore_data,omitempty"`
	// Coupon is the id of one at Stripe. A tenant's own token may not name one.
	Coupon string `json:"coupon,omitempty"`
	// PlanHash is a preview's, as in Upgrade.
	PlanHash string `json:"plan_hash,omitempty"`
}

// Reactivate begins to bring a tenant back.
func (c *Client) Reactivate(ctx context.Context, id string, cmd Reactivate, opts ...Option) (Operation, error) {
	return post[Operation](ctx, c, tenantPath(id, "/reactivate"), cmd, opts)
}

// Exempt keeps a tenant's access open whatever it owes. One that is suspended for money comes back.
func (c *Client) Exempt(ctx context.Context, id, why string, opts ...Option) error {
	_, err := post[ignored](ctx, c, tenantPath(id, "/exemption"), reason{why}, opts)
	return err
}

// EndExemption takes Exempt back: a tenant that owes gets its grace, from now on.
func (c *Client) EndExemption(ctx context.Context, id, why string, opts ...Option) error {
	return c.call(ctx, http.MethodDelete, tenantPath(id, "/exemption"), reason{why}, &ignored{}, keyed(opts)...)
}
