package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"tenure/services/lifecycle/internal/app"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/auth"
	"tenure/shared/events"
	"tenure/shared/problem"
	"tenure/shared/telemetry"
)

// commandInput is what every command has; a missing body is an empty one.
type commandInput[B any] struct {
	ID   string `path:"id" doc:"the tenant"`
	Key  string `header:"Idempotency-Key" maxLength:"255" doc:"the same key gives the same answer and no second effect"`
	Body *B
}

func (a *API) registerCommands(api huma.API) {
	huma.Register(api, route("POST", "/v1/tenants", "register", "Sign a tenant up", http.StatusAccepted), a.signUp)

	command[events.Upgrade](a, api, "POST upgrade", "Go to a higher plan", http.StatusAccepted, a.operationOf)
	command[events.Downgrade](a, api, "POST downgrade", "Go to a lower plan, at the end of the paid period or now", http.StatusAccepted, a.operationOf)
	command[events.CancelChange](a, api, "POST pending-change/cancel", "Drop the pending change", http.StatusOK, a.tenantAfter)
	command[events.CancelSignup](a, api, "POST cancel-signup", "Give up a sign-up", http.StatusAccepted, a.operationOf)
	command[events.ConvertTrial](a, api, "POST convert-trial", "Turn a trial into a paid plan", http.StatusAccepted, a.operationOf)
	command[events.Export](a, api, "POST export", "Ask for an archive of everything", http.StatusAccepted, exportOf)
	command[events.Reactivate](a, api, "POST reactivate", "Come back", http.StatusAccepted, a.operationOf)

	// What a tenant may not do to itself.
	command[events.Suspend](a, api, "POST suspend", "Close access", http.StatusAccepted, a.operationOf)
	command[events.Resume](a, api, "POST resume", "Lift the admin and abuse blocks", http.StatusAccepted, a.operationOf)
	command[events.RetryProvisioning](a, api, "POST retry-provisioning", "Begin a failed provisioning again", http.StatusAccepted, a.operationOf)
	command[events.Abandon](a, api, "POST abandon", "Give up a failed provisioning", http.StatusAccepted, a.operationOf)
	command[tenant.RetryOperation](a, api, "POST retry-operation", "Try again what got stuck", http.StatusAccepted, a.operationOf)
	command[events.Configure](a, api, "PUT config", "Set what holds for one tenant beside its plan", http.StatusOK, a.tenantAfter)
	command[events.Exempt](a, api, "POST exemption", "Keep a tenant's access open whatever it owes", http.StatusCreated, a.tenantAfter)
	command[events.EndExemption](a, api, "DELETE exemption", "Have a tenant pay like any other again", http.StatusOK, a.tenantAfter)

	huma.Register(api, route("POST", "/v1/exports/{export_id}/cancel", "cancel-export", "Stop a running export", http.StatusOK), a.cancelExport)
}

var operatorOnly = map[string]bool{
	tenant.CmdSuspend: true, tenant.CmdResume: true, tenant.CmdRetryProvisioning: true, tenant.CmdAbandon: true,
	tenant.CmdRetryOperation: true, tenant.CmdPlaceHold: true, tenant.CmdReleaseHold: true,
	tenant.CmdApprove: true, tenant.CmdReject: true,
	tenant.CmdExempt: true, tenant.CmdEndExemption: true, tenant.CmdConfigure: true,
}

// commandBody is a pointer to the body of a command.
type commandBody[B any] interface {
	*B
	events.Payload
}

// command adds the route of one command. respond makes the answer from what the command wrote, and from that alone, so that
// a repeated command is answered the same.
func command[B any, P commandBody[B], T any](a *API, api huma.API, methodAndPath, summary string, status int, respond func(context.Context, app.Outcome) (T, error)) {
	method, path, _ := strings.Cut(methodAndPath, " ")
	op := route(method, "/v1/tenants/{id}/"+path, strings.ReplaceAll(nameOf[B, P](), "_", "-"), summary, status)
	huma.Register(api, op, func(ctx context.Context, in *commandInput[B]) (*output[T], error) {
		out, err := run[B, P](ctx, a, in)
		if err != nil {
			return nil, err
		}
		answered, err := respond(ctx, out)
		return answer(answered), err
	})
}

func nameOf[B any, P commandBody[B]]() string {
	_, name := events.SplitType(P(new(B)).EventType())
	return name
}

// run does a command for a caller who may ask for it.
func run[B any, P commandBody[B]](ctx context.Context, a *API, in *commandInput[B]) (app.Outcome, error) {
	principal, err := authorize(ctx, in.ID)
	if err != nil {
		return app.Outcome{}, err
	}
	if operatorOnly[nameOf[B, P]()] {
		if _, err := operator(ctx); err != nil {
			return app.Outcome{}, err
		}
	}
	if err := a.mustExist(ctx, in.ID); err != nil {
		return app.Outcome{}, err
	}
	body := in.Body
	if body == nil {
		body = new(B)
	}
	return a.submit(ctx, principal, in.ID, in.Key, P(body))
}

// submit hands a command to the engine and waits for it.
func (a *API) submit(ctx context.Context, p auth.Principal, id, key string, payload events.Payload) (app.Outcome, error) {
	if key == "" {
		key = uuid.NewString()
	}
	if !utf8.ValidString(key) {
		return app.Outcome{}, problem.New(http.StatusUnprocessableEntity, problem.CodeValidation, "the Idempotency-Key is not UTF-8")
	}
	data, err := json.Marshal(payload)
	if err != nil {
		return app.Outcome{}, err
	}
	if err := checkForm(payload.EventType(), data); err != nil {
		return app.Outcome{}, err
	}
	_, name := events.SplitType(payload.EventType())
	// Keys of HTTP and of the bus are kept apart: nobody can take another's by guessing.
	s := app.Command(id, name, "http/"+key, payload)
	s.Hash = app.ContentHash(payload.EventType(), data)
	s.CausationID, s.CorrelationID, s.Actor, s.TraceParent = key, key, p.Actor(), telemetry.TraceParent(ctx)
	out := a.Engine.Submit(ctx, s)
	switch {
	case out.Err == nil:
	case app.IsOutage(out.Err):
		return out, problem.New(http.StatusServiceUnavailable, problem.CodeUnavailable, "the command was not confirmed; send it again with the same Idempotency-Key")
	default:
		return out, out.Err
	}
	if out.Refusal != nil {
		return out, refused(out.Refusal)
	}
	return out, nil
}

// checkForm holds a command to what the bus asks of it, so that both doors let in the same.
func checkForm(commandType string, data []byte) error {
	err := events.Storable(data)
	if _, public := events.NewPayload(commandType); public && err == nil {
		err = app.CheckForm(commandType, data)
	}
	var malformed *events.FormatError
	if errors.As(err, &malformed) {
		return problem.New(http.StatusUnprocessableEntity, malformed.Code, malformed.Message)
	}
	return err
}

type registerInput struct {
	Key  string `header:"Idempotency-Key" maxLength:"255"`
	Body struct {
		ID        string `json:"id,omitempty" doc:"chosen by the caller, or made"`
		Name      string `json:"name" minLength:"1" maxLength:"200"`
		Email     string `json:"email" format:"email" maxLength:"320"`
		Plan      string `json:"plan"`
		Region    string `json:"region,omitempty" maxLength:"64"`
		GDPR      bool   `json:"gdpr,omitempty"`
		TrialDays int    `json:"trial_days,omitempty" minimum:"0" maximum:"365"`
	}
}

func (a *API) signUp(ctx context.Context, in *registerInput) (*output[Tenant], error) {
	b := in.Body
	id := b.ID
	if id == "" {
		id = mintTenantID(in.Key)
	}
	p, err := authorize(ctx, id)
	if err != nil {
		return nil, err
	}
	if _, err := operator(ctx); err != nil {
		return nil, err
	}
	out, err := a.submit(ctx, p, id, in.Key, &events.Register{
		Name: b.Name, Email: b.Email, Plan: b.Plan, Region: b.Region, GDPR: b.GDPR, TrialDays: b.TrialDays,
	})
	if err != nil {
		return nil, err
	}
	t := a.view(out.State, tenant.Usage{})
	t.Name = b.Name // not from the vault: a repeated sign-up is answered the same when the data is long gone
	return answer(t), nil
}

// mintTenantID makes an id; the same key makes the same one, so that a repeated sign-up is one sign-up.
func mintTenantID(key string) string {
	if key == "" {
		key = uuid.NewString()
	}
	sum := sha256.Sum256([]byte("tenant/" + key))
	return "t-" + hex.EncodeToString(sum[:10])
}

// operationOf answers with the operation that a command opened, or took up again. Commands that are done at once answer
// with one that has succeeded, named by their first event.
func (a *API) operationOf(_ context.Context, out app.Outcome) (tenant.OperationView, error) {
	var view tenant.OperationView
	for _, e := range out.Events {
		p, err := e.Payload()
		if err != nil {
			return view, err
		}
		id := tenant.OperationOf(p)
		if id == "" {
			continue
		}
		if id != view.ID { // what was cancelled to make way comes before what was opened
			view = begun(out, id)
		}
		view = tenant.ProjectOperation(view, e, p)
		view.ID, view.Tenant = id, out.State.ID
	}
	if view.ID == "" && len(out.Events) > 0 {
		view = instantOperation(out.Events[0])
	}
	if view.ID == "" { // nothing had to be done
		view = tenant.OperationView{Tenant: out.State.ID, Status: tenant.OpSucceeded, Progress: 1}
	}
	return view, nil
}

// begun is what is known of an operation that ran before the command; of a new one its events tell all.
func begun(out app.Outcome, id string) tenant.OperationView {
	if lease := out.Before.Lease; lease != nil && lease.ID == id {
		return tenant.OperationView{ID: id, Kind: lease.Kind, FromPlan: lease.FromPlan, ToPlan: lease.ToPlan}
	}
	return tenant.OperationView{}
}

// instantOperation is what a command amounts to that was done in one transaction; its id is the event's.
func instantOperation(e events.Event) tenant.OperationView {
	return tenant.OperationView{
		ID: e.ID, Tenant: e.Subject, Kind: e.Name(), Status: tenant.OpSucceeded, Progress: 1, StartedAt: e.Time, EndedAt: e.Time,
	}
}

// ExportStarted is the answer to an export.
type ExportStarted struct {
	ExportID string `json:"export_id"`
	Status   string `json:"status"`
}

func exportOf(_ context.Context, out app.Outcome) (ExportStarted, error) {
	started := ExportStarted{Status: tenant.OpPending}
	for _, e := range out.Events {
		p, err := e.Payload()
		if err != nil {
			return started, err
		}
		if requested, ok := p.(*events.ExportRequested); ok {
			started.ExportID = requested.ExportID
		}
	}
	return started, nil
}

type cancelExportInput struct {
	ExportID string `path:"export_id"`
	Key      string `header:"Idempotency-Key" maxLength:"255"`
}

func (a *API) cancelExport(ctx context.Context, in *cancelExportInput) (*output[ExportStarted], error) {
	id, err := a.exportOwner(ctx, in.ExportID)
	if err != nil {
		return nil, err
	}
	_, err = a.submit(ctx, auth.FromContext(ctx), id, in.Key, &events.CancelExport{ExportID: in.ExportID})
	return answer(ExportStarted{ExportID: in.ExportID, Status: tenant.OpCancelled}), err
}
