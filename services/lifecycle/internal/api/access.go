package api

import (
	"context"
	"math"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"tenure/services/lifecycle/internal/store"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/gate"
	"tenure/shared/problem"
)

func (a *API) registerAccess(api huma.API) {
	huma.Register(api, route("GET", "/v1/access/{tenant}", "check-access", "May this tenant do this now? For a gateway's auth_request", http.StatusOK), a.checkAccess)
}

type accessInput struct {
	Tenant     string `path:"tenant"`
	Capability string `query:"capability" default:"query" doc:"query, ingest, export, change_plan or billing_portal"`
}

// Access is the answer when a tenant may.
type Access struct {
	Tenant     string `json:"tenant"`
	Capability string `json:"capability"`
	Allowed    bool   `json:"allowed"`
	State      string `json:"state"`
	Plan       string `json:"plan"`
}

// checkAccess reads the database, so that it is never behind; programs that ask often use shared/gate instead.
func (a *API) checkAccess(ctx context.Context, in *accessInput) (*output[Access], error) {
	if _, err := authorize(ctx, in.Tenant); err != nil {
		return nil, err
	}
	capability, err := gate.ParseCapability(in.Capability)
	if err != nil {
		return nil, problem.New(http.StatusUnprocessableEntity, "unknown_capability", err.Error())
	}
	found, err := store.Load(ctx, a.DB, []string{in.Tenant})
	if err != nil {
		return nil, unavailable(err)
	}
	s, ok := found[in.Tenant]
	if !ok || s.State.Name == tenant.None {
		return nil, errUnknownTenant()
	}
	verdict := gate.Decide(accessOf(s.State), capability)
	if !verdict.Allowed {
		p := problem.New(verdict.Status, verdict.Code, verdict.Reason)
		if verdict.RetryAfter > 0 {
			return nil, huma.ErrorWithHeaders(p, http.Header{"Retry-After": {strconv.Itoa(int(math.Ceil(verdict.RetryAfter.Seconds())))}})
		}
		return nil, p
	}
	return answer(Access{in.Tenant, in.Capability, true, string(s.State.Name), s.State.Plan}), nil
}

func accessOf(s tenant.State) gate.Access {
	access := gate.Access{State: gate.ParseState(string(s.Name)), Blocks: gate.BlocksOf(s.Blocks)}
	if !s.ReadOnlyUntil().IsZero() {
		access.Blocks |= gate.BlockReadOnly
	}
	return access
}
