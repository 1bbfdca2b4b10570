package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/query"
)

// AnswerTenant answers query.LifecycleTenant.
func (a *API) AnswerTenant(ctx context.Context, question []byte) (any, error) {
	var q query.TenantRequest
	if err := json.Unmarshal(question, &q); err != nil {
		return nil, fmt.Errorf("read the question: %w", err)
	}
	s, err := a.load(ctx, q.Tenant)
	if err != nil {
		return nil, err
	}
	out := query.Tenant{
		Tenant: s.ID, Generation: s.Generation, State: string(s.Name), Status: s.Status(), Version: s.Version, Plan: s.Plan,
		Restorable: !s.Ended() && s.Name != tenant.Purging, DeletionDue: dueOf(s),
	}
	pending := s.Pending
	if pending == nil && s.Deletion != nil {
		pending = s.Deletion.Pending
	}
	if pending != nil {
		out.PendingPlan, out.PendingDue = pending.Plan, &pending.DueAt
	}
	for _, p := range a.Engine.Plans() {
		out.Plans = append(out.Plans, query.Plan{Name: p.Name, PriceCents: p.Cents})
	}
	return out, nil
}

func dueOf(s tenant.State) *time.Time {
	if s.Deletion == nil {
		return nil
	}
	return &s.Deletion.ScheduledFor
}

// AnswerPreview answers query.LifecyclePreview, with what no operator needs to be for.
func (a *API) AnswerPreview(ctx context.Context, question []byte) (any, error) {
	var q query.PreviewRequest
	if err := json.Unmarshal(question, &q); err != nil {
		return nil, fmt.Errorf("read the question: %w", err)
	}
	if err := a.mustExist(ctx, q.Tenant); err != nil {
		return nil, err
	}
	body := map[string]any{}
	maps.Copy(body, q.Fields)
	body["command"] = q.Command
	return a.previewOf(ctx, q.Tenant, q.Actor, false, body)
}
