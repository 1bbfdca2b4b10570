package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Deletion is the deadline of a tenant that leaves.
type Deletion struct {
	RequestedAt   time.Time `json:"requested_at"`
	ScheduledFor  time.Time `json:"scheduled_for"`
	Window        Window    `json:"window"`
	RetentionDays int       `json:"retention_days"`
}

// Window is when the deletion begins.
type Window struct {
	Earliest time.Time `json:"earliest"`
	Latest   time.Time `json:"latest"`
}

// Delete is the command that has a tenant deleted after the retention.
type Delete struct {
	// RetentionDays: nil is the policy's default.
	RetentionDays *int   `json:"retention_days,omitempty"`
	Reason        string `json:"reason,omitempty"`
	// Confirm is the tenant's name as it registered, or its id. A tenant that asks by its own token must give it.
	Confirm string `json:"confirm,omitempty"`
	// PlanHash is a preview's, as in Upgrade.
	PlanHash string `json:"plan_hash,omitempty"`
}

// The statuses of a DeletionScheduled.
const (
	DeletionStatusScheduled = "scheduled"
	// DeletionStatusQueued: a running change is undone first.
	DeletionStatusQueued = "queued"
	// DeletionStatusAwaiting: nothing happens before another operator approves.
	DeletionStatusAwaiting = "awaiting_approval"
)

// DeletionScheduled tells when the data will be gone.
type DeletionScheduled struct {
	Status        string `json:"status"`
	RetentionDays int    `json:"retention_days"`
	// ScheduledFor and Window are zero while an approval is awaited: the retention counts from it.
	ScheduledFor time.Time `json:"deletion_scheduled_for,omitzero"`
	Window       Window    `json:"deletion_window,omitzero"`
	// ExportOffer is how to take the data along, for the last time; nil while an approval is awaited.
	ExportOffer *ExportOffer `json:"export_offer,omitempty"`
	// Approval is the one that is awaited.
	Approval *Approval `json:"approval,omitempty"`
}

// ExportOffer is the call that makes a last archive.
type ExportOffer struct {
	Method string    `json:"method"`
	Path   string    `json:"path"`
	Until  time.Time `json:"until"`
}

// Delete closes access and sets the deadline; where the policy wants a second operator, it asks for the approval and does
// no more.
func (c *Client) Delete(ctx context.Context, id string, cmd Delete, opts ...Option) (DeletionScheduled, error) {
	return post[DeletionScheduled](ctx, c, tenantPath(id, "/delete"), cmd, opts)
}

// CancelDeletion brings a leaving tenant back as it was.
func (c *Client) CancelDeletion(ctx context.Context, id string, opts ...Option) error {
	_, err := post[ignored](ctx, c, tenantPath(id, "/deletion/cancel"), nil, opts)
	return err
}

// PlaceHold forbids destruction until the hold is released.
func (c *Client) PlaceHold(ctx context.Context, id, why string, opts ...Option) error {
	_, err := post[ignored](ctx, c, tenantPath(id, "/holds"), reason{why}, opts)
	return err
}

// ReleaseHolds lifts all holds of a tenant; where the policy wants a second operator, the holds stay, and the tenant that it
// returns has the approval that they wait for.
func (c *Client) ReleaseHolds(ctx context.Context, id, why string, opts ...Option) (Tenant, error) {
	var t Tenant
	err := c.call(ctx, http.MethodDelete, tenantPath(id, "/holds"), reason{why}, &t, keyed(opts)...)
	return t, err
}

// Approval is what one operator asked for and another has to approve. Nothing of it has happened yet.
type Approval struct {
	ID string `json:"id"`
	// Command is delete or release_hold.
	Command     string    `json:"command"`
	Reason      string    `json:"reason"`
	RequestedBy string    `json:"requested_by"`
	RequestedAt time.Time `json:"requested_at"`
	ExpiresAt   time.Time `json:"expires_at"`
	// RetentionDays are those of a deletion, counted from the approval.
	RetentionDays int `json:"retention_days"`
	// Holds are the ids of those to be released.
	Holds []string `json:"holds"`
}

// Approve does what another operator asked for; the one who asked is refused.
func (c *Client) Approve(ctx context.Context, tenant, approval, why string, opts ...Option) (Tenant, error) {
	return post[Tenant](ctx, c, approvalPath(tenant, approval), reason{why}, opts)
}

// Reject turns a request down, or takes one's own back.
func (c *Client) Reject(ctx context.Context, tenant, approval, why string, opts ...Option) (Tenant, error) {
	var t Tenant
	err := c.call(ctx, http.MethodDelete, approvalPath(tenant, approval), reason{why}, &t, keyed(opts)...)
	return t, err
}

func approvalPath(tenant, approval string) string {
	return tenantPath(tenant, "/approvals/"+url.PathEscape(approval))
}

// Certificate is the signed proof of the last deletion, as it is stored.
func (c *Client) Certificate(ctx context.Context, id string) ([]byte, error) {
	return get[[]byte](ctx, c, tenantPath(id, "/deletion/certificate"), nil)
}
