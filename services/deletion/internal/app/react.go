package app

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/deletion/internal/purge"
	"tenure/services/deletion/internal/store"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/inbox"
)

// wanted are the events that have work for deletion.
var wanted = map[string]bool{
	(*events.StepRequested)(nil).EventType():      true,
	(*events.StepDone)(nil).EventType():           true,
	(*events.PurgeStarted)(nil).EventType():       true,
	(*events.TenantPurged)(nil).EventType():       true,
	(*events.TenantReborn)(nil).EventType():       true,
	(*events.TenantReactivated)(nil).EventType():  true,
	(*events.ReactivationFailed)(nil).EventType(): true,
	(*events.HoldPlaced)(nil).EventType():         true,
	(*events.HoldReleased)(nil).EventType():       true,
}

// Wants picks the events that React is called with: all of the lifecycle's, which are the links of the tenants' chains.
func Wants(eventType string) bool {
	service, _ := events.SplitType(eventType)
	return service == lifecycle
}

const lifecycle = "lifecycle"

// React keeps the end of the tenant's hash chain and does what the event asks for, which finds it there.
func (a *App) React(_ context.Context, e events.Event) (inbox.Commit, error) {
	act, err := a.action(e)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx pgx.Tx) error {
		if _, err := eventlog.Follow(ctx, tx, e); err != nil || act == nil {
			return err
		}
		return act(ctx, tx)
	}, nil
}

// action returns what an event of the lifecycle asks to be stored; nil: nothing. All that takes long becomes a job.
func (a *App) action(e events.Event) (inbox.Commit, error) {
	if !wanted[e.Type] {
		return nil, nil
	}
	payload, err := e.Payload()
	if err != nil {
		return nil, fault.Permanent(err)
	}
	switch p := payload.(type) {
	case *events.StepRequested:
		return a.requested(e, p), nil
	case *events.StepDone:
		return a.done(e, p), nil
	case *events.PurgeStarted:
		return func(ctx context.Context, tx pgx.Tx) error { return store.SavePurge(ctx, tx, a.purgeOf(e, p)) }, nil
	case *events.TenantPurged:
		return func(ctx context.Context, tx pgx.Tx) error { return a.purged(ctx, tx, e, p) }, nil
	case *events.TenantReborn:
		return func(ctx context.Context, tx pgx.Tx) error { return reborn(ctx, tx, e.Subject) }, nil
	case *events.TenantReactivated:
		return endOperation(e.Subject, p.OperationID), nil
	case *events.ReactivationFailed:
		return endOperation(e.Subject, p.OperationID), nil
	case *events.HoldPlaced:
		return func(ctx context.Context, tx pgx.Tx) error { return store.PlaceHold(ctx, tx, e.Subject, p.HoldID) }, nil
	case *events.HoldReleased:
		return func(ctx context.Context, tx pgx.Tx) error { return store.ReleaseHold(ctx, tx, e.Subject, p.HoldID) }, nil
	}
	return nil, nil
}

// requested opens the job of a step. A step that was done before is answered again: the lifecycle has not heard it.
func (a *App) requested(e events.Event, p *events.StepRequested) inbox.Commit {
	if p.Participant != Participant {
		return nil
	}
	c := cause{e.Subject, e.ID, e.CorrelationID, e.TraceParent}
	if err := purge.Admit(p.StepRequest); err != nil {
		return func(ctx context.Context, tx pgx.Tx) error {
			return a.tell(ctx, tx, c, failed(p.StepID, err.Error(), true))
		}
	}
	job := store.Job{
		TenantID: e.Subject, StepID: p.StepID, OperationID: p.OperationID, Operation: p.Operation, Generation: p.Generation,
		Action: p.Action, CauseID: e.ID, CauseVersion: e.Sequence, CorrelationID: e.CorrelationID, TraceParent: e.TraceParent,
	}
	var deadline *time.Time
	if p.Operation != purge.Operation {
		deadline = &p.Deadline
	}
	return func(ctx context.Context, tx pgx.Tx) error {
		result, done, err := store.Request(ctx, tx, job, deadline)
		if err != nil || !done {
			return err
		}
		return a.tell(ctx, tx, c, completed(p.StepID, result))
	}
}

// done keeps what a participant that erases its own store told about it.
func (a *App) done(e events.Event, p *events.StepDone) inbox.Commit {
	if p.Participant == Participant || p.Action != purge.ActionErase && p.Action != purge.ActionVerify {
		return nil
	}
	var told events.Erasure
	// Anything else than counts is as good as no counts: the participant says that it is done.
	_ = json.Unmarshal(p.Result, &told)
	found := purge.Store{Name: purge.ParticipantStore(p.Participant), Before: told.Before, After: &told.After}
	for _, kept := range told.Exceptions {
		if kept.What != "" {
			found.Kept = append(found.Kept, purge.Exception{What: kept.What, Why: cmp.Or(kept.Reason, p.Participant+" gives no reason")})
		}
	}
	return func(ctx context.Context, tx pgx.Tx) error {
		return store.FoundByParticipant(ctx, tx, e.Subject, p.OperationID, found)
	}
}

func (a *App) purgeOf(e events.Event, p *events.PurgeStarted) purge.Purge {
	policy := p.Policy
	if policy.Hash == "" { // asked for before requests named it
		allowed := a.Policy.For(p.Region, p.Operation.FromPlan, p.GDPR)
		policy = events.RetentionPolicy{Hash: a.Policy.Hash(), Min: allowed.Min, Max: allowed.Max}
	}
	started := purge.Purge{
		Tenant: e.Subject, Generation: p.Generation, OperationID: p.Operation.ID,
		Policy: purge.Policy{
			RetentionDays: p.RetentionDays, Region: p.Region, GDPR: p.GDPR, Plan: p.Operation.FromPlan,
			MinDays: policy.Min, MaxDays: policy.Max, Hash: policy.Hash,
		},
		RequestedAt: p.RequestedAt, ScheduledFor: p.ScheduledFor, StartedAt: e.Time,
	}
	for _, s := range p.Operation.Steps {
		erases := s.Action == purge.ActionErase || s.Action == purge.ActionVerify
		if erases && s.Participant != Participant && !slices.Contains(started.Participants, s.Participant) {
			started.Participants = append(started.Participants, s.Participant)
		}
	}
	return started
}

// sweepDays are when the stores are looked at again, in days after the purge.
var sweepDays = []int{1, 7, 30}

func (a *App) purged(ctx context.Context, tx pgx.Tx, e events.Event, p *events.TenantPurged) error {
	for _, day := range sweepDays {
		sweep := store.Sweep{
			TenantID: e.Subject, Generation: p.Generation, Day: day, CauseID: e.ID, CorrelationID: e.CorrelationID,
		}
		if err := store.ScheduleSweep(ctx, tx, sweep, e.Time.Add(time.Duration(day)*a.cfg.Day)); err != nil {
			return fmt.Errorf("after the purge: %w", err)
		}
	}
	kept, err := store.Retain(ctx, tx, e.Subject, p.Generation, p.OperationID)
	if err != nil {
		return err
	}
	if err := store.ForgetTenant(ctx, tx, e.Subject); err != nil {
		return err
	}
	if err := store.SupersedeSubjectErasures(ctx, tx, e.Subject); err != nil {
		return err
	}
	return a.retain(ctx, tx, e, kept)
}

// reborn gives a tenant all that is there: no later look may take it for what is left of the life before.
func reborn(ctx context.Context, tx pgx.Tx, tenant string) error {
	if err := store.CancelSweeps(ctx, tx, tenant); err != nil {
		return err
	}
	if err := store.CancelRetentions(ctx, tx, tenant); err != nil {
		return err
	}
	if err := store.DropReapplied(ctx, tx, tenant); err != nil {
		return err
	}
	return store.Returned(ctx, tx, tenant)
}

// endOperation takes the work of a fresh start away from whoever is still at it: what the tenant has from now on is its
// own.
func endOperation(tenant, operationID string) inbox.Commit {
	return func(ctx context.Context, tx pgx.Tx) error { return store.EndOperation(ctx, tx, tenant, operationID) }
}
