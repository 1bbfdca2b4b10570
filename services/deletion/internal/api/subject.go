package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"tenure/services/deletion/internal/app"
	"tenure/services/deletion/internal/purge"
	"tenure/services/deletion/internal/store"
	"tenure/shared/auth"
	"tenure/shared/events"
	"tenure/shared/problem"
)

func (a *API) registerSubjects(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "erase-subject", Method: http.MethodPost, Path: "/v1/tenants/{id}/subject-erasures",
		Summary: "Ask for one person's rows in a tenant to be erased (GDPR, Article 17)", DefaultStatus: http.StatusAccepted,
	}, a.eraseSubject)
	huma.Register(api, huma.Operation{
		OperationID: "get-subject-erasure", Method: http.MethodGet, Path: "/v1/subject-erasures/{request_id}",
		Summary: "A request to erase one person's rows, and how far it is",
	}, a.subjectErasure)
	schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Receipt](), true, "Receipt")
	huma.Register(api, huma.Operation{
		OperationID: "get-subject-erasure-certificate", Method: http.MethodGet, Path: "/v1/subject-erasures/{request_id}/certificate",
		Summary: "The signed proof that one person's rows were erased",
		Responses: map[string]*huma.Response{
			"200": {Description: "OK", Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}},
		},
	}, a.receipt)
}

// Receipt is the signed document of a subject's erasure.
type Receipt struct {
	purge.Receipt
	Signature
}

type eraseSubjectInput struct {
	ID   string `path:"id" doc:"the tenant"`
	Key  string `header:"Idempotency-Key" maxLength:"255" doc:"the same key gives the same answer and no second effect"`
	Body struct {
		Subject string `json:"subject" minLength:"1" maxLength:"512" doc:"The person's key as the data map's subject columns have it. It is kept until the request is done"`
		Reason  string `json:"reason,omitempty" maxLength:"2000" doc:"Kept with the request until the tenant is deleted; name nobody in it"`
	}
}

// SubjectRequest is what never changes in a request, and so the answer to whoever repeats it.
type SubjectRequest struct {
	RequestID   string    `json:"request_id"`
	TenantID    string    `json:"tenant_id"`
	RequestedAt time.Time `json:"requested_at"`
	DueBy       time.Time `json:"due_by" doc:"One calendar month after the request (GDPR, Article 12(3))"`
}

func requestOf(s *store.SubjectErasure) SubjectRequest {
	return SubjectRequest{s.RequestID, s.TenantID, s.RequestedAt.UTC(), s.DueBy.UTC()}
}

type eraseSubjectOutput struct{ Body SubjectRequest }

func (a *API) eraseSubject(ctx context.Context, in *eraseSubjectInput) (*eraseSubjectOutput, error) {
	caller := auth.FromContext(ctx)
	if err := reachable(caller, in.ID); err != nil {
		return nil, err
	}
	if body, err := json.Marshal(in.Body); err != nil || events.Storable(body) != nil || !utf8.ValidString(in.Key) {
		return nil, problem.New(http.StatusUnprocessableEntity, problem.CodeValidation, "subject, reason and Idempotency-Key must be text without NUL characters")
	}
	request, err := a.App.RequestSubjectErasure(ctx, app.SubjectRequest{
		Tenant: in.ID, Subject: in.Body.Subject, Reason: in.Body.Reason, Actor: caller.Actor(), Key: in.Key,
	})
	switch {
	case errors.Is(err, app.ErrUnknownTenant):
		return nil, errUnknownTenant()
	case errors.Is(err, app.ErrKeyReused):
		return nil, errKeyReused()
	case errors.Is(err, app.ErrNoSubjects):
		return nil, problem.New(http.StatusUnprocessableEntity, "no_subjects", err.Error()+": name the subject column of a store in it")
	case err != nil:
		return nil, unavailable(err)
	}
	return &eraseSubjectOutput{requestOf(request)}, nil
}

// SubjectErasure is a request as the API shows it. It does not name the person.
type SubjectErasure struct {
	SubjectRequest
	Status      string             `json:"status" enum:"pending,running,completed,superseded" doc:"superseded: the whole tenant was erased"`
	WaitsFor    string             `json:"waits_for,omitempty" doc:"Why it is not done yet: a legal hold, a store that fails"`
	CompletedAt *time.Time         `json:"completed_at,omitempty"`
	Stores      []purge.StoreCount `json:"stores"`
	Exceptions  []purge.Exception  `json:"exceptions" doc:"What is left as it is, and why"`
}

type subjectInput struct {
	RequestID string `path:"request_id"`
}

type subjectErasureOutput struct{ Body SubjectErasure }

func (a *API) subjectErasure(ctx context.Context, in *subjectInput) (*subjectErasureOutput, error) {
	request, progress, err := a.reachableSubject(ctx, in.RequestID)
	if err != nil {
		return nil, err
	}
	shown := SubjectErasure{
		SubjectRequest: requestOf(request), Status: string(request.Status), WaitsFor: progress.WaitsFor,
		Stores: progress.Stores, Exceptions: progress.Exceptions,
	}
	switch {
	case request.Status == store.StatusCompleted:
		at := request.EndedAt.UTC()
		shown.CompletedAt = &at
	case request.Status == store.StatusOpen && progress.Begun:
		shown.Status = "running"
	case request.Status == store.StatusOpen:
		shown.Status = "pending"
	}
	return &subjectErasureOutput{shown}, nil
}

func (a *API) receipt(ctx context.Context, in *subjectInput) (*certificateOutput, error) {
	request, _, err := a.reachableSubject(ctx, in.RequestID)
	if err != nil {
		return nil, err
	}
	if request.Document == nil {
		return nil, problem.New(http.StatusNotFound, "certificate_not_found", "this request is not completed")
	}
	return &certificateOutput{ContentType: "application/json", Body: request.Document}, nil
}

// reachableSubject reads a request. Another tenant's answers exactly as one that does not exist.
func (a *API) reachableSubject(ctx context.Context, requestID string) (*store.SubjectErasure, app.SubjectProgress, error) {
	request, progress, err := a.App.SubjectErasure(ctx, requestID)
	if err != nil {
		return nil, progress, unavailable(err)
	}
	if request == nil || !auth.FromContext(ctx).MayReach(request.TenantID) {
		return nil, progress, problem.New(http.StatusNotFound, "subject_erasure_not_found", "there is no such request")
	}
	return request, progress, nil
}
