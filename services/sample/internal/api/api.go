// Package api is the sample SaaS over HTTP.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tenure/services/sample/internal/app"
	"tenure/services/sample/internal/store"
	"tenure/shared/auth"
	"tenure/shared/gate"
	"tenure/shared/pg"
	"tenure/shared/problem"
)

// TenantPath is the part of the path that every route but the control has.
type TenantPath struct {
	Tenant string `path:"tenant" pattern:"^[A-Za-z0-9_-]{1,64}$"`
}

type document struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Content   string          `json:"content"`
	Metadata  json.RawMessage `json:"metadata"`
	CreatedAt time.Time       `json:"created_at"`
}

func documentOf(d store.Document) document { return document(d) }

func documentsOf(list []store.Document) []document {
	out := make([]document, len(list))
	for i, d := range list {
		out[i] = documentOf(d)
	}
	return out
}

type handlers struct{ app *app.App }

// Register adds the routes.
func Register(api huma.API, verifier *auth.Verifier, a *app.App) {
	h := handlers{a}
	route := func(method, path, id, summary string) huma.Operation {
		return huma.Operation{
			OperationID: "sample-" + id, Method: method, Path: "/sample" + path, Summary: summary, Tags: []string{"sample"},
			Security: public, Middlewares: huma.Middlewares{visitors(api, verifier)},
		}
	}
	add := route(http.MethodPost, "/{tenant}/documents", "add-document", "Keep a new version of a document")
	add.DefaultStatus = http.StatusCreated
	huma.Register(api, add, h.add)
	huma.Register(api, route(http.MethodGet, "/{tenant}/documents", "list-documents", "List current documents"), h.list)
	huma.Register(api, route(http.MethodPost, "/{tenant}/query", "query", "Find documents"), h.query)
	huma.Register(api, route(http.MethodGet, "/{tenant}/usage", "usage", "Usage and limits"), h.usage)
	huma.Register(api, route(http.MethodPost, "/{tenant}/seed", "seed", "Make documents and vectors for a load test"), h.seed)
	huma.Register(api, route(http.MethodPost, "/_control", "control", "Shape the next plan change"), h.control)
}

// public: the sample's users are not Tenure's, and it has no sign-in of its own.
var public = []map[string][]string{}

// visitors lets everybody in, but holds those who say who they are to it: with one tenant's token, others do not exist.
func visitors(api huma.API, verifier *auth.Verifier) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		token, given := strings.CutPrefix(ctx.Header("Authorization"), "Bearer ")
		if !given {
			next(ctx)
			return
		}
		caller, err := verifier.Authenticate(ctx.Context(), token)
		if tenant := ctx.Param("tenant"); err == nil && tenant != "" && !caller.MayReach(tenant) {
			err = answer(&app.Refusal{Verdict: gate.UnknownTenant()})
		}
		if err != nil {
			_ = huma.WriteErr(api, ctx, http.StatusInternalServerError, "visitor", err)
			return
		}
		next(ctx)
	}
}

type addInput struct {
	TenantPath
	Body struct {
		Name    string `json:"name" minLength:"1" maxLength:"512" pattern:"^[^\\x00]*$"`
		Content string `json:"content" pattern:"^[^\\x00]*$" doc:"text; PostgreSQL takes no NUL in it"`
	}
}

type documentOutput struct{ Body document }

func (h handlers) add(ctx context.Context, in *addInput) (*documentOutput, error) {
	d, err := h.app.Add(ctx, in.Tenant, in.Body.Name, in.Body.Content)
	if err != nil {
		return nil, answer(err)
	}
	return &documentOutput{documentOf(d)}, nil
}

type listInput struct {
	TenantPath
	Cursor string `query:"cursor" doc:"next_cursor of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

type listOutput struct {
	Body struct {
		Items      []document `json:"items"`
		NextCursor *string    `json:"next_cursor"`
	}
}

func (h handlers) list(ctx context.Context, in *listInput) (*listOutput, error) {
	// One more than asked for tells whether there is another page.
	page, err := h.app.List(ctx, in.Tenant, in.Cursor, in.Limit+1)
	if err != nil {
		return nil, answer(err)
	}
	var out listOutput
	if len(page) > in.Limit {
		page = page[:in.Limit]
		out.Body.NextCursor = &page[in.Limit-1].ID
	}
	out.Body.Items = documentsOf(page)
	return &out, nil
}

type queryInput struct {
	TenantPath
	Body struct {
		Q      string `json:"q" pattern:"^[^\\x00]*$"`
		HoldMS int    `json:"hold_ms,omitempty" minimum:"0" maximum:"600000" doc:"How long the query goes on running, ms"`
	}
}

type queryOutput struct {
	Body struct {
		Results []document `json:"results"`
	}
}

func (h handlers) query(ctx context.Context, in *queryInput) (*queryOutput, error) {
	found, err := h.app.Query(ctx, in.Tenant, in.Body.Q, milliseconds(in.Body.HoldMS))
	if err != nil {
		return nil, answer(err)
	}
	var out queryOutput
	out.Body.Results = documentsOf(found)
	return &out, nil
}

type usageInput struct{ TenantPath }

type usageOutput struct {
	Body struct {
		Queries   float64            `json:"queries" doc:"In this calendar month (UTC)"`
		Documents float64            `json:"documents"`
		StorageGB float64            `json:"storage_gb"`
		Limits    map[string]float64 `json:"limits" doc:"A metric that is not here is not limited"`
	}
}

func (h handlers) usage(ctx context.Context, in *usageInput) (*usageOutput, error) {
	used, limits, err := h.app.Usage(ctx, in.Tenant)
	if err != nil {
		return nil, answer(err)
	}
	var out usageOutput
	out.Body.Queries, out.Body.Documents, out.Body.StorageGB = used[gate.Queries], used[gate.Documents], used[gate.StorageGB]
	out.Body.Limits = map[string]float64{}
	for metric, limit := range limits {
		out.Body.Limits[string(metric)] = limit
	}
	return &out, nil
}

type seedInput struct {
	TenantPath
	Body struct {
		Documents int `json:"documents,omitempty" minimum:"0" maximum:"1000000"`
		BytesEach int `json:"bytes_each,omitempty" minimum:"0" maximum:"10000000"`
		Vectors   int `json:"vectors,omitempty" minimum:"0" maximum:"1000000"`
	}
}

type seedOutput struct {
	Body struct {
		Documents int `json:"documents"`
		Vectors   int `json:"vectors"`
	}
}

func (h handlers) seed(ctx context.Context, in *seedInput) (*seedOutput, error) {
	if err := h.app.Seed(ctx, in.Tenant, in.Body.Documents, in.Body.BytesEach, in.Body.Vectors); err != nil {
		return nil, answer(err)
	}
	var out seedOutput
	out.Body.Documents, out.Body.Vectors = in.Body.Documents, in.Body.Vectors
	return &out, nil
}

type controlInput struct {
	Body struct {
		Drain    *string `json:"drain,omitempty" enum:"always,never"`
		SwitchMS *int    `json:"switch_ms,omitempty" minimum:"0" maximum:"600000" doc:"How long the switch takes, ms"`
		FailNext *string `json:"fail_next,omitempty" enum:"provision,switch"`
	}
}

type controlOutput struct {
	Body struct {
		Drain    string `json:"drain"`
		SwitchMS int64  `json:"switch_ms"`
		FailNext string `json:"fail_next"`
	}
}

func (h handlers) control(_ context.Context, in *controlInput) (*controlOutput, error) {
	next := h.app.Shape(func(next *app.Shape) {
		if in.Body.Drain != nil {
			next.NeverDrain = *in.Body.Drain == "never"
		}
		if in.Body.SwitchMS != nil {
			next.SwitchTakes = milliseconds(*in.Body.SwitchMS)
		}
		if in.Body.FailNext != nil {
			next.FailNext = *in.Body.FailNext
		}
	})
	var out controlOutput
	out.Body.Drain, out.Body.SwitchMS, out.Body.FailNext = "always", next.SwitchTakes.Milliseconds(), next.FailNext
	if next.NeverDrain {
		out.Body.Drain = "never"
	}
	return &out, nil
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// answer passes the gate's refusal on, in its own words, and says 503 when the database is away.
func answer(err error) error {
	var refused *app.Refusal
	switch {
	case errors.As(err, &refused):
		return withRetry(problem.New(refused.Status, refused.Code, refused.Reason), refused.RetryAfterSeconds())
	case pg.IsUnavailable(err):
		return withRetry(problem.New(http.StatusServiceUnavailable, problem.CodeUnavailable, "the store is out of reach"), "1")
	}
	return err
}

func withRetry(err error, seconds string) error {
	if seconds == "" {
		return err
	}
	return huma.ErrorWithHeaders(err, http.Header{"Retry-After": {seconds}})
}
