package api

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tenure/services/lifecycle/internal/app"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/events"
	"tenure/shared/plans"
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
	Cost      Cost               `json:"cost"`
	OverLimit []events.Violation `json:"over_limit" doc:"limits of the new plan that the usage does not fit"`
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

// PlanView is a plan with its price and its limits.
type PlanView struct {
	Plan       string  `json:"plan"`
	PriceCents int64   `json:"price_cents" doc:"of a month"`
	Limits     Amounts `json:"limits" doc:"0 is unlimited"`
}

// Cost is what a command would do to the tenant's bill, in cents.
type Cost struct {
	Currency     string `json:"currency"`
	MonthlyCents int64  `json:"monthly_cents" doc:"by how much a month costs more; negative: less"`
	DueNowCents  int64  `json:"due_now_cents" doc:"estimate of what is charged at once; negative: credited"`
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
	case *events.Reactivate:
		to = cmp.Or(c.Plan, to)
	}
	out := Preview{
		Command: name, Allowed: p.Refusal == nil, FromState: p.State.Status(), ToState: p.After.Status(),
		From: a.planView(p.State.Plan), To: a.planView(to), Cost: costOf(p, to), PlanHash: p.PlanHash,
		OverLimit: []events.Violation{}, Steps: []PreviewStep{}, Events: []string{},
	}
	if plan, ok := p.Facts.Plans.Find(to); ok {
		out.OverLimit = orEmpty(p.Facts.Usage.Over(plan.Limits))
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
	p, _ := a.Engine.Plans().Find(name)
	return PlanView{name, p.Cents, Amounts{p.Limits.Queries, p.Limits.StorageGB, p.Limits.Documents}}
}

// costOf expects billing to do what it does for an operation that begins now: a first subscription is paid in full, a
// change of one for the rest of its period, and a trial costs nothing yet.
func costOf(p app.Preview, to string) Cost {
	before, _ := p.Facts.Plans.Find(p.State.Plan)
	after, known := p.Facts.Plans.Find(to)
	cost := Cost{Currency: plans.Currency}
	if !known || p.Refusal != nil {
		return cost
	}
	cost.MonthlyCents = after.Cents - before.Cents
	switch begins := p.After.Lease != nil && p.State.Lease == nil; {
	case !begins || p.State.Name == tenant.Trialing:
	case before.Free():
		cost.DueNowCents = after.Cents
	default:
		cost.DueNowCents = plans.Prorated(before, after, p.At, p.Facts.PeriodEnd)
	}
	return cost
}
