package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tenure/services/lifecycle/internal/store"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/auth"
	"tenure/shared/problem"
)

func (a *API) registerOperations(api huma.API) {
	op := route("GET", "/v1/operations/{operation_id}", "get-operation", "Show an operation, or follow it as text/event-stream", http.StatusOK)
	huma.Register(api, op, a.getOperation)
}

type operationInput struct {
	ID     string `path:"operation_id"`
	Accept string `header:"Accept"`
}

func errUnknownOperation() error {
	return problem.New(http.StatusNotFound, "operation_not_found", "there is no such operation")
}

// findOperation returns an operation that the caller may see.
func (a *API) findOperation(ctx context.Context, id string) (tenant.OperationView, error) {
	view, err := store.Operation(ctx, a.DB, id)
	if store.IsNotFound(err) {
		view, err = a.instant(ctx, id)
	}
	if err != nil {
		return view, err
	}
	if p := auth.FromContext(ctx); !p.MayReach(view.Tenant) {
		return view, errUnknownOperation()
	}
	return view, nil
}

// instant finds an operation that was one event: its id is "<tenant>.<version>".
func (a *API) instant(ctx context.Context, id string) (tenant.OperationView, error) {
	stream, number, _ := strings.Cut(id, ".")
	version, err := strconv.ParseInt(number, 10, 64)
	if err != nil || version < 1 {
		return tenant.OperationView{}, errUnknownOperation()
	}
	list, err := a.Log.Read(ctx, a.DB, stream, version-1, 1)
	if err != nil {
		return tenant.OperationView{}, unavailable(err)
	}
	if len(list) == 0 {
		return tenant.OperationView{}, errUnknownOperation()
	}
	return instantOperation(list[0].Event), nil
}

// exportOwner names the tenant of an export that the caller may see; a foreign one is unknown.
func (a *API) exportOwner(ctx context.Context, exportID string) (string, error) {
	unknown := problem.New(http.StatusNotFound, "export_not_found", "there is no such export")
	view, err := store.Operation(ctx, a.DB, exportID)
	if store.IsNotFound(err) {
		return "", unknown
	}
	if err != nil {
		return "", unavailable(err)
	}
	if p := auth.FromContext(ctx); view.Kind != tenant.OpExport || !p.MayReach(view.Tenant) {
		return "", unknown
	}
	return view.Tenant, nil
}

func (a *API) getOperation(ctx context.Context, in *operationInput) (*huma.StreamResponse, error) {
	view, err := a.findOperation(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(in.Accept, "text/event-stream") {
		return writeJSON(view), nil
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) { a.follow(hc, view) }}, nil
}

// lookInterval is how soon a follower sees what another process has changed.
const lookInterval = 500 * time.Millisecond

// follow sends the operation's view whenever it changed, until it has ended or the client is gone.
func (a *API) follow(hc huma.Context, view tenant.OperationView) {
	ctx := hc.Context()
	changed, stop := a.Engine.Watch(view.Tenant)
	defer stop()
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	stream := startStream(hc)
	for sent := ""; ; {
		body := stream.encode(view)
		if body != sent {
			if stream.send(body) != nil {
				return
			}
			sent = body
		}
		if !view.EndedAt.IsZero() {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick.C:
		}
		next, err := store.Operation(ctx, a.DB, view.ID)
		if err != nil {
			return // the client connects again
		}
		view = next
	}
}
