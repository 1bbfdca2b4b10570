package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tenure/services/deletion/internal/app"
	"tenure/services/deletion/internal/store"
	"tenure/shared/auth"
	"tenure/shared/fault"
	"tenure/shared/problem"
)

// Reapplications erase again what purged tenants had. It is safe for concurrent use.
type Reapplications struct{ App *app.App }

// Register adds the routes.
func (r *Reapplications) Register(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "reapply-deletions", Method: http.MethodPost, Path: "/v1/deletion/reapply", DefaultStatus: http.StatusAccepted,
		Summary: "Erase again what purged tenants had, after a backup brought it back",
		Description: "Takes up the certificates in the database and in the bucket. Tenants that the log shows alive, or that came back since, are\n" +
			"refused and listed. What participants erase by themselves is not touched: they have to do so again.",
	}, r.reapply)
	huma.Register(api, huma.Operation{
		OperationID: "get-reapplication", Method: http.MethodGet, Path: "/v1/deletion/reapply/{id}",
		Summary: "What became of each purged tenant",
	}, r.get)
}

type reapplyInput struct {
	Key  string `header:"Idempotency-Key" maxLength:"255" doc:"the same key gives the same answer and no second effect"`
	Body struct {
		DryRun bool `json:"dry_run,omitempty" doc:"Count what would be erased, and erase nothing"`
	}
}

// Reapplication is a request as the API shows it.
type Reapplication struct {
	ID          string    `json:"id"`
	DryRun      bool      `json:"dry_run"`
	RequestedAt time.Time `json:"requested_at"`
}

func reapplicationOf(r *store.Reapplication) Reapplication {
	return Reapplication{r.ID, r.DryRun, r.RequestedAt.UTC()}
}

type reapplyOutput struct{ Body Reapplication }

func (r *Reapplications) reapply(ctx context.Context, in *reapplyInput) (*reapplyOutput, error) {
	if err := operatorsOnly(ctx); err != nil {
		return nil, err
	}
	request, err := r.App.Reapply(ctx, app.ReapplyRequest{DryRun: in.Body.DryRun, Actor: auth.FromContext(ctx).Actor(), Key: in.Key})
	if errors.Is(err, app.ErrKeyReused) {
		return nil, errKeyReused()
	}
	if _, waits := fault.Delay(err); waits {
		return nil, problem.New(http.StatusServiceUnavailable, problem.CodeUnavailable, "the lifecycle or the object store does not answer; try again")
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return &reapplyOutput{reapplicationOf(request)}, nil
}

func errKeyReused() error {
	return problem.New(http.StatusConflict, "idempotency_key_reused", "this idempotency key was used for another request; use a new one")
}

// ReapplicationProgress is a request with what became of it.
type ReapplicationProgress struct {
	Reapplication
	Status     string      `json:"status" enum:"running,completed"`
	Tombstones []Tombstone `json:"tombstones" doc:"By tenant"`
}

// Tombstone is a purged tenant that has a certificate.
type Tombstone struct {
	Tenant     string `json:"tenant"`
	Generation int64  `json:"generation" doc:"Its last life that has a certificate"`
	FoundIn    string `json:"found_in" enum:"database,bucket" doc:"bucket: the database, restored from a backup, had forgotten it"`
	Status     string `json:"status" enum:"open,refused,counted,erased"`
	Reason     string `json:"reason,omitempty" doc:"Why it was refused, or what it waits for"`
	Rows       int64  `json:"rows" doc:"What the stores held of it"`
}

type reapplicationInput struct {
	ID string `path:"id"`
}

type reapplicationOutput struct{ Body ReapplicationProgress }

func (r *Reapplications) get(ctx context.Context, in *reapplicationInput) (*reapplicationOutput, error) {
	if err := operatorsOnly(ctx); err != nil {
		return nil, err
	}
	request, all, err := r.App.Reapplication(ctx, in.ID)
	if err != nil {
		return nil, unavailable(err)
	}
	if request == nil {
		return nil, problem.New(http.StatusNotFound, "reapplication_not_found", "there is no such request")
	}
	shown := ReapplicationProgress{Reapplication: reapplicationOf(request), Status: "completed", Tombstones: make([]Tombstone, len(all))}
	for i, t := range all {
		shown.Tombstones[i] = Tombstone{t.Tenant, t.Generation, t.FoundIn, string(t.Status), t.Reason, t.Rows}
		if t.Status == store.ReappliedOpen {
			shown.Status = "running"
		}
	}
	return &reapplicationOutput{shown}, nil
}
