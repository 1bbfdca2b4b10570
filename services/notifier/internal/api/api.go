// Package api is the notifier's HTTP side: tenants' own webhooks, and what campaigns have come to.
package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/notifier/internal/app"
	"tenure/services/notifier/internal/store"
	"tenure/services/notifier/internal/webhook"
	"tenure/shared/auth"
	"tenure/shared/egress"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/plans"
	"tenure/shared/problem"
)

const (
	// maxEndpoints of one tenant, so that none can have every event sent out a thousand times.
	maxEndpoints = 10
	// bothSecretsDays is for how long a former secret goes on signing, so that receivers can change it at their leisure.
	bothSecretsDays = 1
)

// API is safe for concurrent use.
type API struct {
	DB       *pgxpool.Pool
	Webhooks *app.Webhooks
	Egress   egress.Policy
	Day      time.Duration
	// Plans tell what a return is worth.
	Plans plans.Catalogue
}

// Register adds the routes.
func (a *API) Register(api huma.API) {
	const one = "/v1/tenants/{id}/webhooks/{webhook}"
	huma.Register(api, route("POST", "/v1/tenants/{id}/webhooks", "add-webhook", "Have an address told what happens to a tenant", http.StatusCreated), a.add)
	huma.Register(api, route("GET", "/v1/tenants/{id}/webhooks", "list-webhooks", "A tenant's webhooks", http.StatusOK), a.list)
	huma.Register(api, route("GET", one, "get-webhook", "A webhook", http.StatusOK), a.get)
	huma.Register(api, route("DELETE", one, "remove-webhook", "Tell an address no more", http.StatusOK), a.remove)
	huma.Register(api, route("POST", one+"/rotate", "rotate-webhook-secret", "Make a new secret; for a day the former one signs, too", http.StatusOK), a.rotate)
	huma.Register(api, route("POST", one+"/enable", "enable-webhook", "Call a webhook again that was switched off", http.StatusOK), a.enable)
	huma.Register(api, route("POST", one+"/test", "test-webhook", "Have a webhook called now", http.StatusAccepted), a.test)
	huma.Register(api, route("GET", one+"/deliveries", "list-webhook-deliveries", "The calls of a webhook in 30 days, the newest first", http.StatusOK), a.deliveries)
	huma.Register(api, route("POST", one+"/deliveries/{delivery}/redeliver", "redeliver", "Make a call again", http.StatusAccepted), a.redeliver)
	a.registerCampaigns(api)
}

func route(method, path, id, summary string, status int) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, DefaultStatus: status, Tags: []string{"webhooks"}}
}

// Webhook is an endpoint as the API shows it.
type Webhook struct {
	ID           string         `json:"id"`
	URL          string         `json:"url"`
	Events       webhook.Filter `json:"events" doc:"patterns; none is all"`
	Description  string         `json:"description,omitempty"`
	Status       string         `json:"status" enum:"enabled,failing,disabled" doc:"disabled: for three days no call was taken, or the endpoint answered 410"`
	FailingSince *time.Time     `json:"failing_since,omitempty"`
	DisabledAt   *time.Time     `json:"disabled_at,omitempty"`
	CreatedAt    time.Time      `json:"created_at"`
	Secret       string         `json:"secret,omitempty" doc:"with it the calls are signed (Standard Webhooks); shown when it is made"`
}

func show(e store.Endpoint) Webhook {
	w := Webhook{
		ID: e.ID, URL: e.URL, Events: e.Filter, Description: e.Description, Status: "enabled",
		FailingSince: e.FailingSince, DisabledAt: e.DisabledAt, CreatedAt: e.CreatedAt.UTC(),
	}
	if e.FailingSince != nil {
		w.Status = "failing"
	}
	if e.DisabledAt != nil {
		w.Status = "disabled"
	}
	return w
}

type output[T any] struct{ Body T }

func answer[T any](body T) *output[T] { return &output[T]{body} }

// page is a list with the way to the rest.
type page[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor,omitempty"`
}

type newWebhookInput struct {
	ID   string `path:"id"`
	Key  string `header:"Idempotency-Key" maxLength:"255"`
	Body struct {
		URL         string   `json:"url" maxLength:"2000"`
		Events      []string `json:"events,omitempty" maxItems:"50" doc:"types of events, or their beginnings with * behind; none is all"`
		Description string   `json:"description,omitempty" maxLength:"200"`
	}
}

func (a *API) add(ctx context.Context, in *newWebhookInput) (*output[Webhook], error) {
	if err := a.reach(ctx, in.ID); err != nil {
		return nil, err
	}
	b := in.Body
	if err := a.Egress.CheckURL(b.URL); err != nil {
		return nil, problem.New(http.StatusUnprocessableEntity, "invalid_url", "the address of a webhook cannot be called: "+err.Error())
	}
	filter := webhook.Filter(b.Events)
	if err := filter.Check(); err != nil {
		return nil, problem.New(http.StatusUnprocessableEntity, "unknown_event", err.Error()).With("events", webhook.Types())
	}
	wanted := store.Endpoint{ID: endpointID(in.ID, in.Key), TenantID: in.ID, URL: b.URL, Filter: filter, Description: b.Description}
	if wanted.Filter == nil {
		wanted.Filter = webhook.Filter{}
	}
	var added *store.Endpoint
	err := pg.WithTx(ctx, a.DB, func(tx pgx.Tx) (err error) {
		added, err = store.AddEndpoint(ctx, tx, wanted, maxEndpoints)
		return err
	})
	switch {
	case err != nil:
		return nil, unavailable(err)
	case added == nil:
		return nil, problem.New(http.StatusConflict, "too_many_webhooks", "a tenant has "+strconv.Itoa(maxEndpoints)+" webhooks at most; remove one first")
	case added.URL != wanted.URL || added.Description != wanted.Description || !slices.Equal(added.Filter, wanted.Filter):
		return nil, problem.New(http.StatusConflict, "idempotency_key_reused", "the Idempotency-Key was used for another webhook")
	}
	shown := show(*added)
	shown.Secret = a.Webhooks.Secret(*added)
	return answer(shown), nil
}

// endpointID is the same for the same key, so that a repeated request makes no second webhook.
func endpointID(tenant, key string) string {
	if key == "" {
		key = uuid.NewString()
	}
	sum := sha256.Sum256([]byte("webhook/" + tenant + "/" + key))
	return "we_" + hex.EncodeToString(sum[:10])
}

type tenantInput struct {
	ID string `path:"id"`
}

func (a *API) list(ctx context.Context, in *tenantInput) (*output[page[Webhook]], error) {
	if err := a.reach(ctx, in.ID); err != nil {
		return nil, err
	}
	endpoints, err := store.Endpoints(ctx, a.DB, in.ID)
	if err != nil {
		return nil, unavailable(err)
	}
	out := page[Webhook]{Items: make([]Webhook, len(endpoints))}
	for i, e := range endpoints {
		out.Items[i] = show(e)
	}
	return answer(out), nil
}

// WebhookInput names a webhook in a path.
type WebhookInput struct {
	ID      string `path:"id"`
	Webhook string `path:"webhook"`
	Key     string `header:"Idempotency-Key" maxLength:"255"`
}

func (a *API) get(ctx context.Context, in *WebhookInput) (*output[Webhook], error) {
	e, err := a.find(ctx, in)
	if err != nil {
		return nil, err
	}
	return answer(show(*e)), nil
}

func (a *API) remove(ctx context.Context, in *WebhookInput) (*output[Webhook], error) {
	e, err := a.find(ctx, in)
	if err != nil {
		return nil, err
	}
	if _, err := store.RemoveEndpoint(ctx, a.DB, in.ID, in.Webhook); err != nil {
		return nil, unavailable(err)
	}
	return answer(show(*e)), nil
}

func (a *API) rotate(ctx context.Context, in *WebhookInput) (*output[Webhook], error) {
	if _, err := a.find(ctx, in); err != nil {
		return nil, err
	}
	e, err := store.RotateSecret(ctx, a.DB, in.ID, in.Webhook, keyOf(in.Key), bothSecretsDays*a.Day)
	if err != nil {
		return nil, unavailable(err)
	}
	if e == nil {
		return nil, errUnknownWebhook()
	}
	shown := show(*e)
	shown.Secret = a.Webhooks.Secret(*e)
	return answer(shown), nil
}

// keyOf names a request by its Idempotency-Key; one without is another each time.
func keyOf(key string) string {
	if key == "" {
		return uuid.NewString()
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

func (a *API) enable(ctx context.Context, in *WebhookInput) (*output[Webhook], error) {
	if _, err := a.find(ctx, in); err != nil {
		return nil, err
	}
	e, err := store.EnableEndpoint(ctx, a.DB, in.ID, in.Webhook)
	if err != nil {
		return nil, unavailable(err)
	}
	if e == nil {
		return nil, errUnknownWebhook()
	}
	a.Webhooks.Kick()
	return answer(show(*e)), nil
}

func (a *API) test(ctx context.Context, in *WebhookInput) (*output[Webhook], error) {
	e, err := a.find(ctx, in)
	if err != nil {
		return nil, err
	}
	if err := a.Webhooks.Test(ctx, *e, keyOf(in.Key), auth.FromContext(ctx).Actor()); err != nil {
		return nil, unavailable(err)
	}
	return answer(show(*e)), nil
}

// Delivery is a call as the API shows it.
type Delivery struct {
	ID        string     `json:"id" doc:"the header webhook-id"`
	EventID   string     `json:"event_id"`
	EventType string     `json:"event_type"`
	State     string     `json:"state" enum:"queued,delivered,failed"`
	Failures  int        `json:"failures"`
	Status    int        `json:"status,omitempty" doc:"HTTP status of the last answer"`
	Error     string     `json:"error,omitempty"`
	NextTryAt *time.Time `json:"next_try_at,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
}

type deliveriesInput struct {
	WebhookInput
	Cursor string `query:"cursor"`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
}

func (a *API) deliveries(ctx context.Context, in *deliveriesInput) (*output[page[Delivery]], error) {
	if _, err := a.find(ctx, &in.WebhookInput); err != nil {
		return nil, err
	}
	before, err := parseCursor(in.Cursor)
	if err != nil {
		return nil, problem.New(http.StatusUnprocessableEntity, "invalid_cursor", "the cursor is not one that this list has given")
	}
	rows, err := store.Deliveries(ctx, a.DB, in.Webhook, before.At, before.ID, in.Limit+1)
	if err != nil {
		return nil, unavailable(err)
	}
	out := page[Delivery]{Items: []Delivery{}}
	for i, r := range rows {
		if i == in.Limit {
			last := rows[i-1]
			out.NextCursor = cursor{last.CreatedAt, last.ID}.String()
			break
		}
		d := Delivery{
			ID: r.ID, EventID: r.EventID, EventType: r.EventType, State: r.State, Failures: r.Failures, Status: r.Status, Error: r.Error,
			CreatedAt: r.CreatedAt.UTC(), EndedAt: r.EndedAt,
		}
		if r.State == "queued" {
			d.NextTryAt = &r.NextTryAt
		}
		out.Items = append(out.Items, d)
	}
	return answer(out), nil
}

// cursor is the place behind a row in a list by time.
type cursor struct {
	At time.Time `json:"at"`
	ID string    `json:"id"`
}

func (c cursor) String() string {
	text, _ := json.Marshal(c)
	return base64.RawURLEncoding.EncodeToString(text)
}

func parseCursor(text string) (c cursor, err error) {
	if text == "" {
		return c, nil
	}
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(decoded, &c)
	}
	return c, err
}

type redeliverInput struct {
	WebhookInput
	Delivery string `path:"delivery"`
}

func (a *API) redeliver(ctx context.Context, in *redeliverInput) (*output[Webhook], error) {
	e, err := a.find(ctx, &in.WebhookInput)
	if err != nil {
		return nil, err
	}
	found, err := store.Redeliver(ctx, a.DB, in.Webhook, in.Delivery)
	if err != nil {
		return nil, unavailable(err)
	}
	if !found {
		return nil, problem.New(http.StatusNotFound, "delivery_not_found", "there is no such call of this webhook; calls are kept for 30 days")
	}
	a.Webhooks.Kick()
	return answer(show(*e)), nil
}

// find is the webhook that a request names, if its caller may reach it.
func (a *API) find(ctx context.Context, in *WebhookInput) (*store.Endpoint, error) {
	if err := a.reach(ctx, in.ID); err != nil {
		return nil, err
	}
	e, err := store.GetEndpoint(ctx, a.DB, in.ID, in.Webhook)
	if err != nil {
		return nil, unavailable(err)
	}
	if e == nil {
		return nil, errUnknownWebhook()
	}
	return e, nil
}

func errUnknownWebhook() error {
	return problem.New(http.StatusNotFound, "webhook_not_found", "there is no such webhook")
}

// reach refuses who may not reach the tenant, with the bytes that answer for one that does not exist.
func (a *API) reach(ctx context.Context, tenant string) error {
	if !events.ValidTenantID(tenant) {
		return problem.New(http.StatusUnprocessableEntity, "invalid_tenant_id", "a tenant id has 1 to 64 letters, digits, _ or -")
	}
	unknown := problem.New(http.StatusNotFound, "tenant_not_found", "there is no such tenant")
	if !auth.FromContext(ctx).MayReach(tenant) {
		return unknown
	}
	lives, err := store.Lives(ctx, a.DB, tenant)
	if err != nil {
		return unavailable(err)
	}
	if !lives {
		return unknown
	}
	return nil
}

// unavailable answers 503 when the database is away, so that callers try again, and hides everything else.
func unavailable(err error) error {
	if pg.IsUnavailable(err) {
		return problem.New(http.StatusServiceUnavailable, problem.CodeUnavailable, "the service cannot reach its database; try again")
	}
	return err
}
