package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tenure/services/lifecycle/internal/app"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/events"
)

func (a *API) registerDeletion(api huma.API) {
	command[events.Delete](a, api, "POST delete", "Ask for deletion after the retention", http.StatusAccepted, a.deletionOf)
	command[events.CancelDeletion](a, api, "POST deletion/cancel", "Take a deletion back before it is due", http.StatusAccepted, a.operationOf)
	command[events.PlaceHold](a, api, "POST holds", "Place a legal hold", http.StatusCreated, a.tenantAfter)

	const holds, approval = "/v1/tenants/{id}/holds", "/v1/tenants/{id}/approvals/{approval_id}"
	huma.Register(api, route("DELETE", holds, "release-hold", "Release one legal hold, or all", http.StatusOK), a.releaseHold)
	huma.Register(api, route("POST", approval, "approve", "Approve what another operator asked for", http.StatusOK), a.approve)
	huma.Register(api, route("DELETE", approval, "reject", "Turn a request down, or take one's own back", http.StatusOK), a.reject)
}

// The statuses of a DeletionScheduled.
const (
	deletionScheduled = "scheduled"
	deletionQueued    = "queued"
	deletionAwaiting  = "awaiting_approval"
)

// DeletionScheduled is the answer to a deletion.
type DeletionScheduled struct {
	Tenant        string           `json:"tenant"`
	Status        string           `json:"status" enum:"scheduled,queued,awaiting_approval" doc:"queued: a running change is undone first; awaiting_approval: nothing happens before another operator approves"`
	RetentionDays int              `json:"retention_days"`
	ScheduledFor  *time.Time       `json:"deletion_scheduled_for,omitempty" doc:"absent while an approval is awaited: the retention counts from it"`
	Window        *Window          `json:"deletion_window,omitempty"`
	ExportOffer   *ExportOffer     `json:"export_offer,omitempty"`
	Approval      *tenant.Approval `json:"approval,omitempty"`
}

// ExportOffer is how to take the data along, for the last time.
type ExportOffer struct {
	Method string    `json:"method"`
	Path   string    `json:"path"`
	Until  time.Time `json:"until"`
}

// Window is when the purge may begin.
type Window struct {
	Earliest time.Time `json:"earliest"`
	Latest   time.Time `json:"latest"`
}

func (a *API) deletionOf(_ context.Context, out app.Outcome) (DeletionScheduled, error) {
	s := out.State
	if asked, ok := approvalIn(out); ok {
		return DeletionScheduled{Tenant: s.ID, Status: deletionAwaiting, RetentionDays: asked.RetentionDays, Approval: &asked}, nil
	}
	d := DeletionScheduled{Tenant: s.ID, Status: deletionScheduled}
	var window Window
	if q := s.QueuedDeletion; q != nil {
		due := a.Engine.DueAfter(s, q.RequestedAt, q.RetentionDays)
		d.Status, d.RetentionDays, window = deletionQueued, q.RetentionDays, Window{due, due.Add(time.Hour)}
	} else if del := s.Deletion; del != nil {
		d.RetentionDays, window = del.RetentionDays, Window{del.ScheduledFor, del.Latest}
	}
	d.ScheduledFor, d.Window = &window.Earliest, &window
	d.ExportOffer = &ExportOffer{http.MethodPost, "/v1/tenants/" + s.ID + "/export", window.Earliest}
	return d, nil
}

// approvalIn is the request that a command made of what needs another operator's approval.
func approvalIn(out app.Outcome) (tenant.Approval, bool) {
	for _, asked := range out.State.Approvals {
		before := func(a tenant.Approval) bool { return a.ID == asked.ID }
		if !slices.ContainsFunc(out.Before.Approvals, before) {
			return asked, true
		}
	}
	return tenant.Approval{}, false
}

// released is the tenant behind a release: 202 while it waits for another operator.
type released struct {
	Status int
	Body   Tenant
}

func (a *API) releaseHold(ctx context.Context, in *commandInput[events.ReleaseHold]) (*released, error) {
	out, err := run(ctx, a, in)
	if err != nil {
		return nil, err
	}
	answered := &released{Status: http.StatusOK}
	if _, waits := approvalIn(out); waits {
		answered.Status = http.StatusAccepted
	}
	answered.Body, err = a.tenantAfter(ctx, out)
	return answered, err
}

type approvalInput struct {
	ID         string `path:"id" doc:"the tenant"`
	ApprovalID string `path:"approval_id"`
	Key        string `header:"Idempotency-Key" maxLength:"255"`
	Body       *struct {
		Reason string `json:"reason,omitempty" maxLength:"1000"`
	}
}

func (in *approvalInput) reason() string {
	if in.Body == nil {
		return ""
	}
	return in.Body.Reason
}

func (a *API) approve(ctx context.Context, in *approvalInput) (*output[Tenant], error) {
	return decideApproval(ctx, a, in, &events.Approve{ApprovalID: in.ApprovalID, Reason: in.reason()})
}

func (a *API) reject(ctx context.Context, in *approvalInput) (*output[Tenant], error) {
	return decideApproval(ctx, a, in, &events.Reject{ApprovalID: in.ApprovalID, Reason: in.reason()})
}

func decideApproval[B any, P commandBody[B]](ctx context.Context, a *API, in *approvalInput, p P) (*output[Tenant], error) {
	out, err := run[B, P](ctx, a, &commandInput[B]{ID: in.ID, Key: in.Key, Body: p})
	if err != nil {
		return nil, err
	}
	after, err := a.tenantAfter(ctx, out)
	return answer(after), err
}
