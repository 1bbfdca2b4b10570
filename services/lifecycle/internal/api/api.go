// Package api is the lifecycle service's HTTP side: it turns requests into commands for the engine, and the engine's
// answers and the log into JSON. It decides nothing about tenants itself.
package api

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/lifecycle/internal/app"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/auth"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/problem"
	"tenure/shared/vault"
)

// API is safe for concurrent use.
type API struct {
	Engine *app.Engine
	DB     *pgxpool.Pool
	Log    *eventlog.Log
	Vault  *vault.Vault
	Quoter Quoter
	Stores Stores
}

// Register adds the routes.
func (a *API) Register(api huma.API) {
	a.registerTenants(api)
	a.registerCommands(api)
	a.registerDeletion(api)
	a.registerPreview(api)
	a.registerOperations(api)
	a.registerAudit(api)
	a.registerParticipants(api)
	a.registerAccess(api)
}

// route describes an operation; errors of every route are problem+json.
func route(method, path, id, summary string, status int) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, DefaultStatus: status}
}

// errUnknownTenant is the one answer for ids that do not exist and for those the caller may not know of: its bytes must
// not tell which.
func errUnknownTenant() error {
	return problem.New(http.StatusNotFound, "tenant_not_found", "there is no such tenant")
}

// authorize lets operators reach every tenant and a tenant's own token that tenant.
func authorize(ctx context.Context, id string) (auth.Principal, error) {
	p := auth.FromContext(ctx)
	if !events.ValidTenantID(id) {
		return p, problem.New(http.StatusUnprocessableEntity, events.CodeInvalidTenantID, "a tenant id has 1 to 64 letters, digits, _ or -")
	}
	if id == events.NoTenant {
		return p, problem.New(http.StatusUnprocessableEntity, events.CodeInvalidTenantID, "no tenant may be called "+id)
	}
	if !p.MayReach(id) {
		return p, errUnknownTenant()
	}
	return p, nil
}

// operator lets operators pass.
func operator(ctx context.Context) (auth.Principal, error) {
	p := auth.FromContext(ctx)
	if !p.IsOperator() {
		return p, problem.New(http.StatusForbidden, "forbidden", "an operator's token is needed")
	}
	return p, nil
}

// unavailable answers 503 when the database is away, so that callers try again, and hides everything else.
func unavailable(err error) error {
	if pg.IsUnavailable(err) {
		return problem.New(http.StatusServiceUnavailable, "unavailable", "the service cannot reach its database; try again")
	}
	return err
}

// refused turns the state machine's word into a status.
func refused(r *tenant.Refusal) error {
	status := http.StatusConflict
	switch r.Kind {
	case tenant.Invalid:
		status = http.StatusUnprocessableEntity
	case tenant.Limit:
		status = http.StatusTooManyRequests
	case tenant.Forbidden:
		status = http.StatusForbidden
	case tenant.NotFound:
		if r.Code == tenant.CodeUnknownTenant {
			return errUnknownTenant()
		}
		status = http.StatusNotFound
	}
	p := problem.New(status, r.Code, r.Message)
	if len(r.Allowed) > 0 {
		p.With("allowed_commands", r.Allowed)
	}
	if len(r.Violations) > 0 {
		p.With("violations", r.Violations)
	}
	if r.RetryAt.IsZero() {
		return p
	}
	p.With("retry_at", r.RetryAt)
	seconds := max(1, int(math.Ceil(time.Until(r.RetryAt).Seconds())))
	return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {strconv.Itoa(seconds)}})
}

// Page is one page of a list; NextCursor is null on the last.
type Page[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

// goOn tells where the next page begins.
func (p *Page[T]) goOn(cursor string) { p.NextCursor = &cursor }

// PageInput asks for a page. It is exported because huma reads exported fields alone.
type PageInput struct {
	Cursor string `query:"cursor" doc:"next_cursor of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

type output[T any] struct {
	Body T
}

func answer[T any](body T) *output[T] { return &output[T]{Body: body} }
