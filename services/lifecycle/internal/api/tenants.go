package api

import (
	"context"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tenure/services/lifecycle/internal/app"
	"tenure/services/lifecycle/internal/store"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/auth"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/plans"
)

// Tenant is a tenant as people see it.
type Tenant struct {
	ID         string `json:"id"`
	Name       string `json:"name,omitempty"`
	Plan       string `json:"plan"`
	State      string `json:"state"`
	Status     string `json:"status" doc:"the state, or exporting"`
	Version    int64  `json:"version" doc:"of the log: every event counts"`
	Generation int64  `json:"generation" doc:"lives of this id, from 1"`
	Region     string `json:"region,omitempty"`
	GDPR       bool   `json:"gdpr,omitempty"`

	Blocks        []events.Block         `json:"blocks"`
	Holds         []tenant.Hold          `json:"holds"`
	Operations    []tenant.OperationView `json:"operations" doc:"the running ones, then the last ones"`
	PendingChange *PendingChange         `json:"pending_change"`
	Deletion      *Deletion              `json:"deletion"`
	Approvals     []tenant.Approval      `json:"approvals" doc:"what operators asked for and another one has to approve"`
	NeedsOperator bool                   `json:"needs_operator,omitempty"`
	Cold          bool                   `json:"cold,omitempty" doc:"nobody has used it for so long that stores may keep its data somewhere slower"`
	Exempt        bool                   `json:"exempt" doc:"access stays open whatever is owed"`

	Usage           Amounts    `json:"usage"`
	Limits          Amounts    `json:"limits" doc:"0 is unlimited"`
	Config          Config     `json:"config"`
	AllowedCommands []string   `json:"allowed_commands"`
	TrialEndsAt     *time.Time `json:"trial_ends_at,omitempty"`
	GraceEndsAt     *time.Time `json:"grace_ends_at,omitempty"`
	CreatedAt       time.Time  `json:"created_at"`
}

// Config is what holds for a tenant: by its plan, and by what is set for it.
type Config struct {
	Version  int64             `json:"version" doc:"of the log, where it changed last"`
	Features []string          `json:"features"`
	Values   map[string]string `json:"values" doc:"the SaaS's own"`
	Own      OwnConfig         `json:"own" doc:"what is set for this tenant, and overrules its plan"`
}

// OwnConfig is the part of a tenant's configuration that is not its plan's.
type OwnConfig struct {
	Limits   map[string]float64 `json:"limits,omitempty" doc:"by metric; 0 is unlimited"`
	Features map[string]bool    `json:"features,omitempty"`
}

// Amounts are metered figures or their limits.
type Amounts struct {
	Queries   int64   `json:"queries"`
	StorageGB float64 `json:"storage_gb"`
	Documents int64   `json:"documents"`
}

func amountsOf(l plans.Limits) Amounts { return Amounts{l.Queries, l.StorageGB, l.Documents} }

// PendingChange is a downgrade that waits.
type PendingChange struct {
	Command    string    `json:"command"`
	Plan       string    `json:"plan"`
	DueAt      time.Time `json:"due_at"`
	Resolution string    `json:"resolution"`
}

// Deletion is a scheduled one.
type Deletion struct {
	RequestedAt   time.Time `json:"requested_at"`
	ScheduledFor  time.Time `json:"scheduled_for"`
	Window        Window    `json:"window"`
	RetentionDays int       `json:"retention_days"`
	DeferredBy    []string  `json:"deferred_by,omitempty" doc:"holds and the export that a due purge waits for"`
}

// recentOperations is how many a tenant shows.
const recentOperations = 10

func (a *API) registerTenants(api huma.API) {
	huma.Register(api, route("GET", "/v1/tenants", "list-tenants", "List tenants", http.StatusOK), a.listTenants)
	huma.Register(api, route("GET", "/v1/tenants/{id}", "get-tenant", "Show a tenant, now or as it was", http.StatusOK), a.getTenant)
	huma.Register(api, route("GET", "/v1/tenants/{id}/events", "tenant-events", "A tenant's timeline", http.StatusOK), a.timeline)
}

// view shows a state; what stands beside it (usage, name, operations) is looked up by the caller.
func (a *API) view(s tenant.State, usage tenant.Usage) Tenant {
	t := Tenant{
		ID: s.ID, Plan: s.Plan, State: string(s.Name), Status: s.Status(), Version: s.Version, Generation: s.Generation,
		Region: s.Region, GDPR: s.GDPR, Blocks: orEmpty(s.Blocks), Holds: orEmpty(s.Holds), Approvals: orEmpty(s.Approvals), Operations: []tenant.OperationView{},
		NeedsOperator: s.NeedsOperator(), Exempt: s.Exempt != nil, Cold: s.Cold(), AllowedCommands: orEmpty(s.AllowedCommands()), CreatedAt: s.CreatedAt,
		Usage: Amounts{usage.Queries, usage.StorageGB, usage.Documents},
	}
	plan, _ := a.Engine.Plans().Find(s.Plan)
	t.Limits = amountsOf(s.Limits(plan))
	t.Config = Config{
		Version: s.ConfigVersion, Features: orEmpty(s.Config.FeaturesWith(plan.Features)), Values: s.Config.Values,
		Own: OwnConfig{s.Config.Limits, s.Config.Features},
	}
	if t.Config.Values == nil {
		t.Config.Values = map[string]string{}
	}
	if p := s.Pending; p != nil {
		t.PendingChange = &PendingChange{p.Command, p.Plan, p.DueAt, p.Resolution}
	}
	if d := s.Deletion; d != nil {
		t.Deletion = &Deletion{d.RequestedAt, d.ScheduledFor, Window{d.ScheduledFor, d.Latest}, d.RetentionDays, d.DeferredBy}
	}
	if !s.TrialEndsAt.IsZero() {
		t.TrialEndsAt = &s.TrialEndsAt
	}
	if g := s.Grace; g != nil && !g.EndsAt.IsZero() {
		t.GraceEndsAt = &g.EndsAt
	}
	return t
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// tenantAfter shows the tenant as it was right behind a command; repeated, the command shows the same.
func (a *API) tenantAfter(ctx context.Context, out app.Outcome) (Tenant, error) {
	t := a.view(out.State, tenant.Usage{})
	contacts, err := a.Vault.GetAll(ctx, a.DB, []string{t.ID})
	t.Name = contacts[t.ID].Name
	return t, err
}

// load returns the tenant, or errUnknownTenant.
func (a *API) load(ctx context.Context, id string) (tenant.State, error) {
	found, err := store.Load(ctx, a.DB, []string{id})
	if err != nil {
		return tenant.State{}, unavailable(err)
	}
	t, ok := found[id]
	if !ok || t.State.Name == tenant.None {
		return tenant.State{}, errUnknownTenant()
	}
	return t.State, nil
}

func (a *API) mustExist(ctx context.Context, id string) error {
	_, err := a.load(ctx, id)
	return err
}

type getTenantInput struct {
	ID   string    `path:"id"`
	AsOf time.Time `query:"as_of" doc:"RFC 3339: the tenant as it was then"`
}

func (a *API) getTenant(ctx context.Context, in *getTenantInput) (*output[Tenant], error) {
	if _, err := authorize(ctx, in.ID); err != nil {
		return nil, err
	}
	if !in.AsOf.IsZero() {
		return a.asOf(ctx, in.ID, in.AsOf)
	}
	state, err := a.load(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	list, err := a.complete(ctx, []tenant.State{state})
	if err != nil {
		return nil, unavailable(err)
	}
	t := list[0]
	ops, err := store.RecentOperations(ctx, a.DB, in.ID, recentOperations)
	if err != nil {
		return nil, unavailable(err)
	}
	t.Operations = orEmpty(ops)
	return answer(t), nil
}

func (a *API) asOf(ctx context.Context, id string, when time.Time) (*output[Tenant], error) {
	var then tenant.State
	err := a.Engine.Fold(ctx, id, func(r eventlog.Recorded, s tenant.State) bool {
		if r.Time.After(when) {
			return false
		}
		then = s
		return true
	})
	if err != nil {
		return nil, unavailable(err)
	}
	if then.Name == tenant.None {
		return nil, errUnknownTenant()
	}
	return answer(a.view(then, tenant.Usage{})), nil
}

// complete adds names and usage to states.
func (a *API) complete(ctx context.Context, states []tenant.State) ([]Tenant, error) {
	ids := make([]string, len(states))
	for i, s := range states {
		ids[i] = s.ID
	}
	usage, err := a.Engine.Usage(ctx, a.DB, ids, time.Now())
	if err != nil {
		return nil, err
	}
	contacts, err := a.Vault.GetAll(ctx, a.DB, ids)
	if err != nil {
		return nil, err
	}
	list := make([]Tenant, len(states))
	for i, s := range states {
		list[i] = a.view(s, usage[s.ID])
		list[i].Name = contacts[s.ID].Name
	}
	return list, nil
}

type listInput struct {
	PageInput
	State string `query:"state"`
	Plan  string `query:"plan"`
	Query string `query:"q" doc:"part of an id or a name"`
}

func (a *API) listTenants(ctx context.Context, in *listInput) (*output[Page[Tenant]], error) {
	if in.Cursor != "" && !events.ValidTenantID(in.Cursor) {
		return nil, errCursor()
	}
	filter := store.Filter{State: in.State, Plan: in.Plan, After: in.Cursor, Limit: in.Limit + 1}
	if p := auth.FromContext(ctx); !p.IsOperator() {
		filter.IDs = []string{p.Tenant} // its own, and no sign of others
	} else if in.Query != "" {
		// Names are sealed: the vault finds them, and the ids that match come from the tenants themselves.
		named, err := a.Vault.Search(ctx, a.DB, in.Query, in.Cursor, in.Limit+1)
		if err != nil {
			return nil, unavailable(err)
		}
		filter.Query, filter.Named = in.Query, make([]string, len(named))
		for i, e := range named {
			filter.Named[i] = e.Tenant
		}
	}
	found, err := store.List(ctx, a.DB, filter)
	if err != nil {
		return nil, unavailable(err)
	}
	var page Page[Tenant]
	if len(found) > in.Limit {
		found = found[:in.Limit]
		page.goOn(found[in.Limit-1].State.ID)
	}
	states := make([]tenant.State, len(found))
	for i := range found {
		states[i] = found[i].State
	}
	if page.Items, err = a.complete(ctx, states); err != nil {
		return nil, unavailable(err)
	}
	return answer(page), nil
}

// TimelineEvent is one event of a tenant's log.
type TimelineEvent struct {
	ID            string    `json:"id"`
	Tenant        string    `json:"tenant"`
	EventType     string    `json:"event_type"`
	FromState     string    `json:"from_state"`
	ToState       string    `json:"to_state"`
	Time          time.Time `json:"time"`
	Actor         string    `json:"actor"`
	Reason        string    `json:"reason,omitempty"`
	Data          any       `json:"data"`
	Version       int64     `json:"version"`
	Hash          string    `json:"hash" doc:"SHA-256 over the hash before and this event, in hex"`
	CausationID   string    `json:"causationid"`
	CorrelationID string    `json:"correlationid"`
}

func timelineEvent(r eventlog.Recorded) TimelineEvent {
	change := events.ChangeOf(r.Data)
	return TimelineEvent{
		ID: r.ID, Tenant: r.Subject, EventType: r.Type, FromState: change.From, ToState: change.To, Time: r.Time, Actor: r.Actor,
		Reason: change.Reason, Data: r.Data, Version: r.Sequence, Hash: hex.EncodeToString(r.Hash),
		CausationID: r.CausationID, CorrelationID: r.CorrelationID,
	}
}

type timelineInput struct {
	ID string `path:"id"`
	PageInput
}

func (a *API) timeline(ctx context.Context, in *timelineInput) (*output[Page[TimelineEvent]], error) {
	if _, err := authorize(ctx, in.ID); err != nil {
		return nil, err
	}
	if err := a.mustExist(ctx, in.ID); err != nil {
		return nil, err
	}
	after, err := numberCursor(in.Cursor)
	if err != nil {
		return nil, err
	}
	list, err := a.Log.Read(ctx, a.DB, in.ID, after, in.Limit+1)
	if err != nil {
		return nil, unavailable(err)
	}
	return answer(pageOf(list, in.Limit, timelineEvent, func(r eventlog.Recorded) int64 { return r.Sequence })), nil
}
