package api

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tenure/services/lifecycle/internal/app"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/events"
	"tenure/shared/gate"
	"tenure/shared/plans"
	"tenure/shared/problem"
)

func (a *API) registerPreview(api huma.API) {
	huma.Register(api, route("POST", "/v1/tenants/{id}/preview", "preview", "What a command would cost, change and block, and whether it is allowed; nothing is changed", http.StatusOK), a.preview)
}

type previewInput struct {
	ID   string `path:"id"`
	Body map[string]any
}

// Preview is what a command would do now, if every participant did its part.
type Preview struct {
	Command       string             `json:"command"`
	Allowed       bool               `json:"allowed"`
	Refusal       *PreviewRefusal    `json:"refusal,omitempty"`
	FromState     string             `json:"from_state"`
	ToState       string             `json:"to_state" doc:"right behind the command"`
	EndState      string             `json:"end_state" doc:"when all that follows from it is done"`
	From          PlanView           `json:"from"`
	To            PlanView           `json:"to"`
	Features      Delta[string]      `json:"features"`
	Limits        Delta[Limit]       `json:"limits"`
	OverLimit     []events.Violation `json:"over_limit" doc:"limits of the new plan that the usage does not fit"`
	Access        []Stage            `json:"access" doc:"what is blocked, one stage after another"`
	Steps         []PreviewStep      `json:"steps" doc:"what participants would be asked, by operation and phase"`
	Cost          Cost               `json:"cost"`
	Events        []string           `json:"events" doc:"what would be published, for webhooks among others"`
	Notifications []Notification     `json:"notifications" doc:"mails that would be sent"`
	NeedsApproval bool               `json:"needs_approval,omitempty" doc:"another operator has to approve first; what is shown counts from then"`
	Erasure       *Erasure           `json:"erasure,omitempty" doc:"of a deletion: what would be erased at due_at, and what stays"`
	DueAt         *time.Time         `json:"due_at,omitempty" doc:"when a scheduled change or a deletion would take effect"`
	PlanHash      string             `json:"plan_hash,omitempty" doc:"carry it in the command, and it is refused when the facts have moved"`
}

// PreviewRefusal is why the command would be refused.
type PreviewRefusal struct {
	Code            string             `json:"code"`
	Detail          string             `json:"detail"`
	AllowedCommands []string           `json:"allowed_commands"`
	Violations      []events.Violation `json:"violations,omitempty"`
}

// PlanView is a plan with its price, its limits and what it has.
type PlanView struct {
	Plan       string   `json:"plan"`
	PriceCents int64    `json:"price_cents" doc:"of a month"`
	Limits     Amounts  `json:"limits" doc:"0 is unlimited"`
	Features   []string `json:"features"`
}

// Delta is what the tenant has at the end and had not before, and the other way round.
type Delta[T any] struct {
	Gained []T `json:"gained"`
	Lost   []T `json:"lost"`
}

// Limit is one that changes.
type Limit struct {
	Metric string  `json:"metric"`
	From   float64 `json:"from" doc:"0 is unlimited"`
	To     float64 `json:"to" doc:"0 is unlimited"`
}

// Stage is a time in which access stays the same.
type Stage struct {
	State         string    `json:"state"`
	AtMostSeconds *int64    `json:"at_most_seconds" doc:"if every participant keeps its time; null: for good, or nobody can tell"`
	Blocked       []Blocked `json:"blocked"`
}

// Blocked is what the gate refuses meanwhile.
type Blocked struct {
	Capability string `json:"capability"`
	Status     int    `json:"status"`
	Code       string `json:"code"`
	Reason     string `json:"reason"`
}

// PreviewStep is one step of an operation that would begin.
type PreviewStep struct {
	Operation   string `json:"operation"`
	Phase       int    `json:"phase"`
	Participant string `json:"participant"`
	Action      string `json:"action"`
}

// Notification is a mail and why it is sent.
type Notification struct {
	Event string `json:"event"`
	Mail  string `json:"mail"`
}

func (a *API) preview(ctx context.Context, in *previewInput) (*output[Preview], error) {
	principal, err := authorize(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := a.mustExist(ctx, in.ID); err != nil {
		return nil, err
	}
	out, err := a.previewOf(ctx, in.ID, principal.Actor(), principal.IsOperator(), in.Body)
	if err != nil {
		return nil, err
	}
	return answer(out), nil
}

// previewOf is the preview of the command in body, were it sent by actor.
func (a *API) previewOf(ctx context.Context, id, actor string, forOperator bool, body map[string]any) (Preview, error) {
	name, payload, err := commandOf(body)
	if err != nil {
		return Preview{}, err
	}
	p, err := a.Engine.Preview(ctx, id, name, actor, payload)
	if err != nil {
		return Preview{}, unavailable(err)
	}
	out := a.showPreview(name, payload, p)
	if p.Refusal == nil {
		a.foresee(&out, p)
		out.Cost = a.cost(ctx, chargeOf(payload, p, out.To.Plan))
		if _, leaves := payload.(*events.Delete); leaves {
			out.Erasure = a.erasure(ctx, p.Outlook.End(), forOperator)
		}
	}
	return out, nil
}

// commandOf reads {command: "upgrade", ...the command's own fields}.
func commandOf(body map[string]any) (string, events.Payload, error) {
	name, _ := body["command"].(string)
	payload, ok := events.NewPayload(events.CommandType(name))
	if name == tenant.CmdRetryOperation { // it has no place on the bus
		payload, ok = &tenant.RetryOperation{}, true
	}
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

// showPreview is what can be said of a command whether or not it is allowed.
func (a *API) showPreview(name string, payload events.Payload, p app.Preview) Preview {
	to := p.State.Plan
	switch c := payload.(type) {
	case *events.Upgrade:
		to = c.Plan
	case *events.Downgrade:
		to = c.Plan
	case *events.Reactivate:
		to = cmp.Or(c.Plan, to)
	}
	status := p.State.Status()
	out := Preview{
		Command: name, Allowed: p.Refusal == nil, FromState: status, ToState: status, EndState: status,
		From: a.planView(p.State, p.State.Plan), To: a.planView(p.State, to), PlanHash: p.PlanHash, Cost: Cost{Currency: plans.Currency, Lines: []CostLine{}, Source: sourceEstimate},
		Features: Delta[string]{[]string{}, []string{}}, Limits: Delta[Limit]{[]Limit{}, []Limit{}},
		OverLimit: []events.Violation{}, Access: []Stage{}, Steps: []PreviewStep{}, Events: []string{}, Notifications: []Notification{},
	}
	if plan, ok := p.Facts.Plans.Find(to); ok {
		out.OverLimit = orEmpty(p.Facts.Usage.Over(p.State.Limits(plan)))
	}
	if r := p.Refusal; r != nil {
		out.Refusal = &PreviewRefusal{r.Code, r.Message, orEmpty(r.Allowed), r.Violations}
	}
	return out
}

// foresee adds what follows from a command that is allowed.
func (a *API) foresee(out *Preview, p app.Preview) {
	o := p.Outlook
	out.ToState, out.EndState = o.After.Status(), o.End().Status()
	from, to := a.planView(p.State, p.State.Plan), a.planView(p.State, o.End().Plan)
	out.Features = Delta[string]{lacking(to.Features, from.Features), lacking(from.Features, to.Features)}
	out.Limits = limitChanges(from.Limits, to.Limits)
	for _, s := range o.Stages {
		out.Access = append(out.Access, stageOf(s))
	}
	for _, e := range o.Events {
		out.Events = append(out.Events, e.EventType())
		if mail := events.MailOf(e); mail != "" {
			out.Notifications = append(out.Notifications, Notification{e.EventType(), mail})
		}
		plan, _ := tenant.PlanOf(e)
		for _, s := range plan.Steps {
			if s.Phase > 0 { // those of phase 0 are done already
				out.Steps = append(out.Steps, PreviewStep{plan.Kind, s.Phase, s.Participant, s.Action})
			}
		}
	}
	if change := o.After.Pending; change != nil {
		out.DueAt = &change.DueAt
	}
	if deletion := cmp.Or(o.After.Deletion, o.End().Deletion); deletion != nil { // one that waits is only known in the end
		out.DueAt = &deletion.ScheduledFor
	}
	out.NeedsApproval = len(o.After.Approvals) > len(p.State.Approvals)
}

// lacking lists what is in one list and not in the other.
func lacking(of, in []string) []string {
	return slices.DeleteFunc(slices.Clone(of), func(s string) bool { return slices.Contains(in, s) })
}

func limitChanges(from, to Amounts) Delta[Limit] {
	out := Delta[Limit]{[]Limit{}, []Limit{}}
	for _, l := range []Limit{
		{"queries", float64(from.Queries), float64(to.Queries)},
		{"documents", float64(from.Documents), float64(to.Documents)},
		{"storage_gb", from.StorageGB, to.StorageGB},
	} {
		switch {
		case l.From == l.To:
		case l.To == 0, l.From != 0 && l.From < l.To:
			out.Gained = append(out.Gained, l)
		default:
			out.Lost = append(out.Lost, l)
		}
	}
	return out
}

func stageOf(s tenant.Stage) Stage {
	out := Stage{State: s.State.Status(), Blocked: []Blocked{}}
	if s.Lasts != nil {
		seconds := int64(s.Lasts.Seconds())
		out.AtMostSeconds = &seconds
	}
	for _, c := range []gate.Capability{gate.Query, gate.Ingest, gate.Export, gate.ChangePlan, gate.BillingPortal} {
		if v := gate.Decide(accessOf(s.State), c); !v.Allowed {
			out.Blocked = append(out.Blocked, Blocked{c.String(), v.Status, v.Code, v.Reason})
		}
	}
	return out
}

// planView is a plan as it would be for this tenant.
func (a *API) planView(s tenant.State, name string) PlanView {
	p, _ := a.Engine.Plans().Find(name)
	return PlanView{name, p.Cents, amountsOf(s.Limits(p)), orEmpty(s.Config.FeaturesWith(p.Features))}
}
