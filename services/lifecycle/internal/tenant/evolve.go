package tenant

import (
	"slices"
	"time"

	"tenure/shared/events"
)

// Evolve applies e to s. p is e's data, decoded by the caller, who needs it anyhow. Events that this build does not
// know still move the version and, by their to_state, the state.
func Evolve(s State, e events.Event, p events.Payload) State {
	next := evolve(s, e, p)
	if _, configured := p.(*events.ConfigChanged); configured || next.Plan != s.Plan {
		next.ConfigVersion = next.Version
	}
	return next
}

func evolve(s State, e events.Event, p events.Payload) State {
	before := s
	if e.Subject != "" {
		s.ID = e.Subject
	}
	s.Version = e.Sequence
	if c, ok := p.(change); ok {
		s.Name = stateOf(c.StateChange().To)
	}
	at := e.Time.UTC()
	switch p := p.(type) {
	case *events.StepRequested:
		s.Lease, s.Export = s.Lease.requested(p), s.Export.requested(p)
	case *events.StepDone:
		s.Lease, s.Export = s.Lease.done(p), s.Export.done(p)
	case *events.StepErrored:
		s.Lease, s.Export = s.Lease.errored(p), s.Export.errored(p)

	case *events.TenantRegistered:
		return registered(s, p, at)
	case *events.TenantReborn:
		return reborn(s, p, at)
	case *events.PaymentConfirmed:
		s.SignupExpiresAt = time.Time{}
	case *events.SignupAbandoned:
		return ended(s)
	case *events.ProvisioningStarted:
		s.Lease = newLease(p.Operation, s.Version, ProvisioningFailed)
	case *events.ProvisioningRetried:
		s.Lease = newLease(p.Operation, s.Version, ProvisioningFailed)
	case *events.TenantActivated:
		s.Lease = nil
	case *events.ProvisioningRolledBack:
		s.Lease = nil
		if s.Name == Abandoned {
			return ended(s)
		}
	case *events.TrialConverted:
		s.Plan = p.Plan
		s.endTrial()
	case *events.TrialExpired:
		s.Blocks = p.Blocks
		s.endTrial()

	case *events.UpgradeStarted:
		s.Lease = newLease(p.Operation, s.Version, before.Name)
	case *events.UpgradeCompleted:
		s.Plan, s.Blocks, s.Lease = p.Plan, p.Blocks, nil
	case *events.UpgradeRolledBack, *events.DowngradeRolledBack:
		s.Lease = nil
	case *events.DowngradeScheduled:
		s.Pending = &PendingChange{
			OperationID: p.OperationID, Command: CmdDowngrade, Plan: p.Plan, DueAt: p.DueAt, Resolution: p.Resolution,
		}
	case *events.DowngradeDue:
		s.Pending = s.Pending.dueBy(at)
	case *events.DowngradeCancelled:
		s.Pending = nil
	case *events.DowngradeStarted:
		s.Pending = nil
		s.Lease = newLease(p.Operation, s.Version, before.Name)
		s.Lease.Resolution = p.Resolution
	case *events.DowngradeCompleted:
		s.Plan, s.Blocks, s.Lease = p.Plan, p.Blocks, nil

	case *events.PaymentPastDue:
		s.Grace, s.Blocks = grace(p.GraceEndsAt), p.Blocks
	case *events.PaymentRecovered:
		s.Grace = nil
		if s.Name == Active {
			s.endTrial() // what was paid is no trial any more
		}
	case *events.TenantSuspended:
		s.Blocks = p.Blocks
		if s.Blocked(BlockPayment) {
			s.Grace = nil
		}
	case *events.BlockAdded:
		s.Blocks = p.Blocks
		switch p.Block {
		case BlockPayment:
			s.Grace = nil
			if p.GraceEndsAt != nil {
				s.Grace = grace(p.GraceEndsAt)
			}
		case BlockTrial:
			s.endTrial()
		}
	case *events.BlockLifted:
		s.Blocks = p.Blocks
		if p.Block == BlockPayment {
			s.Grace = nil
		}

	case *events.TenantExempted:
		if s.Grace != nil || slices.ContainsFunc(s.Blocks, unpaid) {
			s.Grace = &Grace{}
		}
		s.Blocks, s.Exempt = p.Blocks, &Exemption{Reason: p.Reason, Since: at}
	case *events.ExemptionEnded:
		s.Exempt = nil
		if p.GraceEndsAt != nil {
			s.Grace = grace(p.GraceEndsAt)
		}

	case *events.ConfigChanged:
		s.Config = p.Config
	case *events.MilestoneReached:
		s.Reached = append(slices.Clip(s.Reached), p.Milestone)
	case *events.TenantCooled:
		s.IdleSince = p.IdleSince
	case *events.TenantWarmed:
		s.IdleSince = time.Time{}

	case *events.ExportRequested:
		s.Export = newExport(p, at)
		s.RecentExports = append(since(s.RecentExports, p.CountedSince), at)
	case *events.ExportCompleted, *events.ExportFailed, *events.ExportCancelled:
		s.Export = nil

	case *events.HoldPlaced:
		s.Holds = append(slices.Clip(s.Holds), Hold{ID: p.HoldID, Reason: p.Reason, Since: at})
	case *events.HoldReleased:
		s.Holds = s.holdsBut(p.HoldID)
		if s.Name == Purging && len(s.Holds) == 0 {
			s.allowHour(at)
		}

	case *events.DeletionRequested:
		s.Pending, s.QueuedDeletion = nil, nil
		s.dropApprovals(toDelete)
		s.Deletion = &Deletion{
			RequestedAt: p.RequestedAt, ScheduledFor: p.ScheduledFor, Latest: p.Latest,
			RetentionDays: p.RetentionDays, Policy: p.Policy, PreviousState: StateName(p.PreviousState),
		}
		if c := p.PendingChange; c != nil {
			s.Deletion.Pending = &PendingChange{Command: CmdDowngrade, Plan: c.Plan, DueAt: c.DueAt, Resolution: c.Resolution}
		}
	case *events.DeletionQueued:
		s.dropApprovals(toDelete)
		s.QueuedDeletion = &QueuedDeletion{
			RequestedAt: p.RequestedAt, RetentionDays: p.RetentionDays, Policy: p.Policy, Reason: p.Reason,
		}
		s.Lease = s.Lease.abort("deletion requested")
	case *events.DeletionApprovalRequested:
		s.addApproval(Approval{Command: CmdDelete, RetentionDays: p.RetentionDays}, p.ApprovalRequest, p.Reason, at)
	case *events.HoldReleaseRequested:
		s.addApproval(Approval{Command: CmdReleaseHold, Holds: p.Holds}, p.ApprovalRequest, p.Reason, at)
	case *events.ApprovalGranted:
		s.dropApprovals(withID(p.ApprovalID))
	case *events.ApprovalRejected:
		s.dropApprovals(withID(p.ApprovalID))
	case *events.ApprovalExpired:
		s.dropApprovals(withID(p.ApprovalID))
	case *events.PurgeDeferred:
		s.Deletion = s.Deletion.deferred(p)
	case *events.PurgeStarted:
		s.Lease = newLease(p.Operation, s.Version, "")
		if s.Deletion.DeferredBy != nil {
			s.allowHour(at)
		}
	case *events.TenantPurged:
		return ended(s)

	case *events.ReactivationStarted:
		s.Lease = newLease(p.Operation, s.Version, s.fallback())
		restore := p.RestoreData
		s.Lease.RestoreData = &restore
		s.Lease.Lifted = liftedBlocks(s.Blocks, p.Blocks)
		s.Blocks = p.Blocks
	case *events.TenantReactivated:
		s.Plan, s.Blocks = p.Plan, p.Blocks
		s.Lease, s.Deletion = nil, nil
		if s.Name == Active || s.Name == Trialing {
			s.Grace = nil
		}
	case *events.ReactivationFailed:
		s.Blocks, s.Lease = p.Blocks, nil
		if s.Deletion != nil && at.After(s.Deletion.ScheduledFor) {
			s.allowHour(at)
		}
	}
	return s
}

// stateOf is the state behind the word in from_state or to_state.
func stateOf(status string) StateName {
	if status == Exporting {
		return Active
	}
	return StateName(status)
}

// registered begins a life; of an earlier one that was abandoned nothing is left but the count.
func registered(s State, p *events.TenantRegistered, at time.Time) State {
	life := State{
		ID: s.ID, Name: s.Name, Version: s.Version, Plan: p.Plan, Region: p.Region, GDPR: p.GDPR,
		Generation: p.Generation, CreatedAt: at,
	}
	if p.SignupExpiresAt != nil {
		life.SignupExpiresAt = *p.SignupExpiresAt
	}
	if p.TrialEndsAt != nil {
		life.TrialEndsAt = *p.TrialEndsAt
	}
	if p.TrialSettlesAt != nil {
		life.TrialSettle = p.TrialSettlesAt.Sub(life.TrialEndsAt)
	}
	return life
}

func reborn(s State, p *events.TenantReborn, at time.Time) State {
	return State{
		ID: s.ID, Name: s.Name, Version: s.Version, Plan: p.Plan, Region: s.Region, GDPR: s.GDPR,
		Generation: p.Generation, CreatedAt: at,
	}
}

// ended keeps who it was and, of a deleted tenant, what was promised. What limited access or destruction is over with
// the life that it was about.
func ended(s State) State {
	return State{
		ID: s.ID, Name: s.Name, Version: s.Version, Plan: s.Plan, Region: s.Region, GDPR: s.GDPR,
		Generation: s.Generation, CreatedAt: s.CreatedAt, Deletion: s.Deletion, ConfigVersion: s.ConfigVersion,
	}
}

func (s *State) endTrial() { s.TrialEndsAt, s.TrialSettle = time.Time{}, 0 }

// dueBy moves a pending change that fell due before its time.
func (p *PendingChange) dueBy(at time.Time) *PendingChange {
	next := *p
	if at.Before(p.DueAt) {
		next.DueAt = at
	}
	return &next
}

func grace(ends *time.Time) *Grace {
	if ends == nil {
		return &Grace{}
	}
	return &Grace{EndsAt: *ends}
}

// allowHour moves the end of the window of a purge that had to wait: the hour counts from when it could go on.
func (s *State) allowHour(at time.Time) {
	d := *s.Deletion
	d.DeferredBy = nil
	if latest := at.Add(window); latest.After(d.Latest) {
		d.Latest = latest
	}
	s.Deletion = &d
}

func (d *Deletion) deferred(p *events.PurgeDeferred) *Deletion {
	next := *d
	next.DeferredBy = slices.Clone(p.Holds)
	if p.ExportID != "" {
		next.DeferredBy = append(next.DeferredBy, p.ExportID)
	}
	return &next
}

// fallback is where a failed reactivation returns to.
func (s State) fallback() StateName {
	if s.Deletion != nil {
		return Deleting
	}
	return Suspended
}

func (s State) holdsBut(id string) []Hold {
	var left []Hold
	for _, h := range s.Holds {
		if h.ID != id {
			left = append(left, h)
		}
	}
	return left
}

// since drops the times before from. It copies: the old state may still be read by others.
func since(times []time.Time, from *time.Time) []time.Time {
	out := make([]time.Time, 0, len(times)+1)
	for _, t := range times {
		if from == nil || t.After(*from) {
			out = append(out, t)
		}
	}
	return out
}
