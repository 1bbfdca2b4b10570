package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tenure/services/lifecycle/internal/app"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/events"
	"tenure/shared/problem"
)

func (a *API) registerPreview(api huma.API) {
	huma.Register(api, route("POST", "/v1/tenants/{id}/preview", "preview", "What a command would change, and whether it is allowed; nothing is changed", http.StatusOK), a.preview)
}

type previewInput struct {
	ID   string `path:"id"`
	Body map[string]any
}

// Preview is what a command would do now.
type Preview struct {
	Command   string             `json:"command"`
	Allowed   bool               `json:"allowed"`
	Refusal   *PreviewRefusal    `json:"refusal,omitempty"`
	FromState string             `json:"from_state"`
	ToState   string             `json:"to_state" doc:"right behind the command; an operation goes on from there"`
	From      PlanView           `json:"from"`
	To        PlanView           `json:"to"`
	OverLimit []tenant.Violation `json:"over_limit" doc:"limits of the new plan that the usage does not fit"`
	Steps     []PreviewStep      `json:"steps" doc:"what participants would be asked, by phase"`
	Events    []string           `json:"events"`
	DueAt     *time.Time         `json:"due_at,omitempty" doc:"when a scheduled change or a deletion would take effect"`
	PlanHash  string             `json:"plan_hash,omitempty" doc:"carry it in the command, and it is refused when the facts have moved"`
}

// PreviewRefusal is why the command would be refused.
type PreviewRefusal struct {
	Code            string   `json:"code"`
	Detail          string   `json:"detail"`
	AllowedCommands []string `json:"allowed_commands"`
}

// PlanView is a plan with its limits.
type PlanView struct {
	Plan   string  `json:"plan"`
	Limits Amounts `json:"limits"`
}

// PreviewStep is one step of the operation that would begin.
type PreviewStep struct {
	Phase       int    `json:"phase"`
	Participant string `json:"participant"`
	Action      string `json:"action"`
}

func (a *API) preview(ctx context.Context, in *previewInput) (*output[Preview], error) {
	principal, err := authorize(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := a.mustExist(ctx, in.ID); err != nil {
		return nil, err
	}
	name, payload, err := commandOf(in.Body)
	if err != nil {
		return nil, err
	}
	p, err := a.Engine.Preview(ctx, in.ID, name, principal.Actor(), payload)
	if err != nil {
		return nil, unavailable(err)
	}
	return answer(a.showPreview(name, payload, p)), nil
}

// commandOf reads {command: "upgrade", ...the command's own fields}.
func commandOf(body map[string]any) (string, events.Payload, error) {
	name, _ := body["command"].(string)
	payload, ok := events.NewPayload(events.CommandType(name))
	if !ok || name == tenant.CmdRegister {
		return "", nil, problem.New(http.StatusUnprocessableEntity, "unknown_command", "name the command of the tenant to preview, for example upgrade")
	}
	fields, err := json.Marshal(body)
	if err != nil {
		return "", nil, err
	}
	if err := json.Unmarshal(fields, payload); err != nil {
		return "", nil, problem.New(http.StatusUnprocessableEntity, problem.CodeValidation, "the fields do not fit the command: "+err.Error())
	}
	return name, payload, nil
}

func (a *API) showPreview(name string, payload events.Payload, p app.Preview) Preview {
	to := p.After.Plan
	switch c := payload.(type) {
	case *events.Upgrade:
		to = c.Plan
	case *events.Downgrade:
		to = c.Plan
	}
	out := Preview{
		Command: name, Allowed: p.Refusal == nil, FromState: p.State.Status(), ToState: p.After.Status(),
		From: a.planView(p.State.Plan), To: a.planView(to), PlanHash: p.PlanHash,
		OverLimit: []tenant.Violation{}, Steps: []PreviewStep{}, Events: []string{},
	}
	for _, plan := range p.Facts.Plans {
		if plan.Name == to {
			out.OverLimit = orEmpty(p.Facts.Usage.Over(plan.Limits))
		}
	}
	if r := p.Refusal; r != nil {
		out.Refusal = &PreviewRefusal{r.Code, r.Message, orEmpty(r.Allowed)}
	}
	for _, e := range p.Events {
		out.Events = append(out.Events, e.EventType())
	}
	if lease := p.After.Lease; lease != nil {
		for _, s := range lease.Steps {
			out.Steps = append(out.Steps, PreviewStep{s.Phase, s.Participant, s.Action})
		}
	}
	if change := p.After.Pending; change != nil {
		out.DueAt = &change.DueAt
	}
	if deletion := p.After.Deletion; deletion != nil {
		out.DueAt = &deletion.ScheduledFor
	}
	return out
}

func (a *API) planView(name string) PlanView {
	for _, p := range a.Engine.Plans() {
		if p.Name == name {
			return PlanView{name, limitsOf(p)}
		}
	}
	return PlanView{Plan: name}
}

func limitsOf(p tenant.Plan) Amounts {
	return Amounts{p.Limits.Queries, p.Limits.StorageGB, p.Limits.Documents}
}
