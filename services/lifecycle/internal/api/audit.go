package api

import (
	"context"
	"encoding/base64"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tenure/services/lifecycle/internal/store"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/bus"
	"tenure/shared/eventlog"
	"tenure/shared/problem"
)

func (a *API) registerAudit(api huma.API) {
	huma.Register(api, route("GET", "/v1/events", "list-events", "The whole audit log", http.StatusOK), a.listEvents)
	huma.Register(api, route("GET", "/v1/violations", "list-violations", "Promises that were broken", http.StatusOK), a.listViolations)
	huma.Register(api, route("GET", "/v1/stats", "stats", "Figures", http.StatusOK), a.stats)
	huma.Register(api, route("GET", "/v1/dead-letters", "list-dead-letters", "Messages that were put aside", http.StatusOK), a.listDeadLetters)
	huma.Register(api, route("POST", "/v1/dead-letters/{id}/replay", "replay-dead-letter", "Handle a message again, and those behind it", http.StatusAccepted), a.replayDeadLetter)
}

func numberCursor(cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(cursor, 10, 64)
	if err != nil || n < 0 {
		return 0, errCursor()
	}
	return n, nil
}

func errCursor() error {
	return problem.New(http.StatusUnprocessableEntity, "invalid_cursor", "a cursor is next_cursor of the page before")
}

// pageOf cuts a list that was read one longer than the page, to see whether there is more.
func pageOf[S, T any](list []S, limit int, show func(S) T, position func(S) int64) Page[T] {
	page := Page[T]{Items: make([]T, 0, min(len(list), limit))}
	for i, item := range list {
		if i == limit {
			page.goOn(strconv.FormatInt(position(list[limit-1]), 10))
			break
		}
		page.Items = append(page.Items, show(item))
	}
	return page
}

type eventsInput struct {
	PageInput
	Tenant string `query:"tenant"`
	Type   string `query:"type" doc:"a CloudEvents type"`
}

func (a *API) listEvents(ctx context.Context, in *eventsInput) (*output[Page[TimelineEvent]], error) {
	return a.audit(ctx, in.PageInput, in.Tenant, in.Type)
}

func (a *API) listViolations(ctx context.Context, in *PageInput) (*output[Page[TimelineEvent]], error) {
	return a.audit(ctx, *in, "", store.ViolationType)
}

func (a *API) audit(ctx context.Context, page PageInput, tenantID, eventType string) (*output[Page[TimelineEvent]], error) {
	if _, err := operator(ctx); err != nil {
		return nil, err
	}
	after, err := a.Log.ParseCursor(page.Cursor)
	if err != nil {
		return nil, errCursor()
	}
	list, next, more, err := a.Log.ReadAll(ctx, a.DB, after, eventlog.Filter{Stream: tenantID, Type: eventType}, page.Limit)
	if err != nil {
		return nil, unavailable(err)
	}
	out := Page[TimelineEvent]{Items: make([]TimelineEvent, len(list))}
	for i, r := range list {
		out.Items[i] = timelineEvent(r)
	}
	if more {
		out.goOn(next.String())
	}
	return answer(out), nil
}

// Stats are figures over all tenants.
type Stats struct {
	Tenants           map[string]int64 `json:"tenants" doc:"by state"`
	RunningOperations int64            `json:"running_operations"`
	OverdueDeletions  int64            `json:"overdue_deletions"`
	Violations        int64            `json:"violations"`
	UnpublishedEvents int64            `json:"unpublished_events"`
	Funnel            Funnel           `json:"funnel"`
}

// Funnel counts how far tenants have come since they signed up, each tenant once.
type Funnel struct {
	SignedUp    int64                  `json:"signed_up"`
	Activated   int64                  `json:"activated"`
	FirstUpload int64                  `json:"first_upload"`
	FirstQuery  int64                  `json:"first_query"`
	Seconds     map[string]Percentiles `json:"seconds" doc:"from the sign-up to activated, first_upload and first_query"`
}

// Percentiles of how long something took.
type Percentiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
}

func funnelOf(steps []store.FunnelStep) Funnel {
	f := Funnel{Seconds: map[string]Percentiles{}}
	counts := map[string]*int64{
		store.SignedUp: &f.SignedUp, store.Activated: &f.Activated, tenant.FirstUpload: &f.FirstUpload, tenant.FirstQuery: &f.FirstQuery,
	}
	for _, s := range steps {
		if n := counts[s.Name]; n != nil {
			*n = s.Tenants
		}
		if s.Name != store.SignedUp {
			f.Seconds[s.Name] = Percentiles{s.P50, s.P95}
		}
	}
	return f
}

func (a *API) stats(ctx context.Context, _ *struct{}) (*output[Stats], error) {
	if _, err := operator(ctx); err != nil {
		return nil, err
	}
	var s Stats
	var err error
	if s.Tenants, err = store.CountByState(ctx, a.DB); err != nil {
		return nil, unavailable(err)
	}
	if s.RunningOperations, s.OverdueDeletions, err = store.CountRunning(ctx, a.DB); err != nil {
		return nil, unavailable(err)
	}
	if s.Violations, err = store.CountViolations(ctx, a.DB); err != nil {
		return nil, unavailable(err)
	}
	if s.UnpublishedEvents, err = eventlog.Backlog(ctx, a.DB); err != nil {
		return nil, unavailable(err)
	}
	steps, err := store.Funnel(ctx, a.DB)
	if err != nil {
		return nil, unavailable(err)
	}
	s.Funnel = funnelOf(steps)
	return answer(s), nil
}

// DeadLetter is a message that was put aside.
type DeadLetter struct {
	ID         string    `json:"id"`
	Consumer   string    `json:"consumer"`
	Reason     string    `json:"reason"`
	Error      string    `json:"error"`
	OriginalID string    `json:"original_id"`
	Subject    string    `json:"subject"`
	Type       string    `json:"type"`
	ReceivedAt time.Time `json:"received_at"`
	Payload    string    `json:"payload" doc:"base64"`
}

func (a *API) listDeadLetters(ctx context.Context, in *PageInput) (*output[Page[DeadLetter]], error) {
	if _, err := operator(ctx); err != nil {
		return nil, err
	}
	after, err := numberCursor(in.Cursor)
	if err != nil {
		return nil, err
	}
	list, err := bus.ListDeadLetters(ctx, a.DB, after, in.Limit+1)
	if err != nil {
		return nil, unavailable(err)
	}
	show := func(d bus.DeadLetter) DeadLetter {
		return DeadLetter{
			ID: strconv.FormatInt(d.ID, 10), Consumer: d.Consumer, Reason: d.Reason, Error: d.Error, OriginalID: d.OriginalID,
			Subject: d.Subject, Type: d.Type, ReceivedAt: d.ReceivedAt, Payload: base64.StdEncoding.EncodeToString(d.Payload),
		}
	}
	return answer(pageOf(list, in.Limit, show, func(d bus.DeadLetter) int64 { return d.ID })), nil
}

type replayInput struct {
	ID int64 `path:"id"`
}

// Replay tells that the consumer will try again, within a second or so.
type Replay struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

func (a *API) replayDeadLetter(ctx context.Context, in *replayInput) (*output[Replay], error) {
	if _, err := operator(ctx); err != nil {
		return nil, err
	}
	found, err := bus.RequestReplay(ctx, a.DB, in.ID)
	if err != nil {
		return nil, unavailable(err)
	}
	if !found {
		return nil, problem.New(http.StatusNotFound, "dead_letter_not_found", "there is no such dead letter, or it was replayed, or its content was erased")
	}
	return answer(Replay{ID: strconv.FormatInt(in.ID, 10), Status: "requested"}), nil
}
