package tenant

import (
	"slices"
	"testing"

	"tenure/shared/events"
	"tenure/shared/retention"
)

// twoMust is a tenant under a policy that wants a second operator for everything.
func twoMust(w *world) *world {
	w.facts.Policy.Retention.Approvals = retention.Approvals{Delete: true, ReleaseHold: true}
	return w
}

func TestADeletionWaitsForASecondOperator(t *testing.T) {
	w := twoMust(active(t))
	w.do(CmdDelete, &events.Delete{RetentionDays: days(10), Reason: "contract ended"}, "deletion.approval_requested")
	w.is(Active)
	a := w.state.Approvals[0]
	if a.Command != CmdDelete || a.RequestedBy != "operator:ann" || a.Reason != "contract ended" || a.RetentionDays != 10 || !a.ExpiresAt.Equal(w.now.Add(7*day)) {
		t.Errorf("asked %+v", a)
	}
	w.refused(CodeApprovalPending, CmdDelete, &events.Delete{})
	if r := w.refused(CodeSamePerson, CmdApprove, &events.Approve{ApprovalID: a.ID}); r.Kind != Forbidden {
		t.Errorf("kind %s", r.Kind)
	}
	w.actor = "tenant:acme"
	w.refused(CodeForbidden, CmdApprove, &events.Approve{ApprovalID: a.ID})
	w.refused(CodeForbidden, CmdReject, &events.Reject{ApprovalID: a.ID})

	w.actor, w.now = "operator:bob", w.now.Add(day)
	w.refused(CodeUnknownApproval, CmdApprove, &events.Approve{ApprovalID: "none"})
	w.do(CmdApprove, &events.Approve{ApprovalID: a.ID, Reason: "seen it"}, "approval.granted", "deletion.requested")
	w.is(Deleting)
	if p := last[*events.ApprovalGranted](w); p.RequestedBy != "operator:ann" || p.Reason != "seen it" || p.Command != CmdDelete {
		t.Errorf("granted %+v", p)
	}
	if p := last[*events.DeletionRequested](w); p.Reason != "contract ended" || !p.RequestedAt.Equal(w.now) || !p.ScheduledFor.Equal(w.now.Add(10*day)) {
		t.Errorf("requested %+v", p)
	}
	if w.state.Approvals != nil {
		t.Errorf("left %+v", w.state.Approvals)
	}
	w.refused(CodeUnknownApproval, CmdApprove, &events.Approve{ApprovalID: a.ID})
}

func TestATenantsOwnDeletionNeedsNoOperator(t *testing.T) {
	w := awaiting(active(t), CmdDelete)
	w.actor = "tenant:acme"
	w.do(CmdDelete, &events.Delete{Confirm: "acme"}, "deletion.requested")
	if w.state.Approvals != nil {
		t.Errorf("an operator's request stands beside it: %+v", w.state.Approvals)
	}

	w = awaiting(upgrading(t), CmdDelete)
	w.actor = "tenant:acme"
	w.after(CmdDelete, &events.Delete{Confirm: "acme"})
	if w.state.QueuedDeletion == nil || w.state.Approvals != nil {
		t.Errorf("queued %+v beside %+v", w.state.QueuedDeletion, w.state.Approvals)
	}
}

func TestAnApprovedDeletionUndoesTheChangeFirst(t *testing.T) {
	w := awaiting(upgrading(t), CmdDelete)
	w.do(CmdApprove, &events.Approve{ApprovalID: w.state.Approvals[0].ID}, "approval.granted", "deletion.queued", "step.requested", "step.requested")
	w.finish()
	w.is(Deleting)
	if p := last[*events.DeletionRequested](w); p.Policy.Hash == "" || p.RetentionDays != 30 {
		t.Errorf("requested %+v", p)
	}
}

// What has become impossible since, or is forbidden by now, is not done because it was asked for earlier.
func TestAnApprovalIsHeldToWhatIsTrueByThen(t *testing.T) {
	w := awaiting(active(t), CmdDelete)
	ask := &events.Approve{ApprovalID: w.state.Approvals[0].ID}
	w.facts.Policy.Retention.Default.Max = 20
	w.refused(CodeRetentionOutOfRange, CmdApprove, ask)
	w.facts.Policy.Retention.Default.Max = 90
	w.now = w.state.Approvals[0].ExpiresAt
	w.refused(CodeUnknownApproval, CmdApprove, ask)

	w = awaiting(held(t), CmdReleaseHold)
	ask = &events.Approve{ApprovalID: w.state.Approvals[0].ID}
	w.facts.Policy.Retention.Approvals = retention.Approvals{}
	w.after(CmdPlaceHold, &events.PlaceHold{Reason: "tax"}).after(CmdReleaseHold, &events.ReleaseHold{HoldID: w.state.Holds[0].ID})
	w.refused(CodeUnknownHold, CmdApprove, ask)
}

func TestARequestIsTurnedDownOrTakenBack(t *testing.T) {
	for _, actor := range []string{"operator:bob", "operator:ann"} {
		w := awaiting(active(t), CmdDelete)
		w.actor = actor
		id := w.state.Approvals[0].ID
		w.do(CmdReject, &events.Reject{ApprovalID: id, Reason: "the customer stays"}, "approval.rejected")
		if p := last[*events.ApprovalRejected](w); p.Reason != "the customer stays" || p.Command != CmdDelete || w.state.Approvals != nil {
			t.Errorf("rejected %+v, left %+v", p, w.state.Approvals)
		}
		w.is(Active)
		w.refused(CodeUnknownApproval, CmdReject, &events.Reject{ApprovalID: id})
	}
}

func TestARequestLapses(t *testing.T) {
	w := awaiting(active(t), CmdDelete)
	if got := w.armed(); !slices.Equal(got, []string{TimerApproval}) {
		t.Fatalf("armed %v", got)
	}
	w.fire(TimerApproval, "approval.expired")
	if w.state.Approvals != nil || w.now.Sub(epoch) != 7*day {
		t.Errorf("left %+v at %s", w.state.Approvals, w.now)
	}
	w.is(Active)
}

// Nothing is released that was not there when the release was asked for.
func TestTheReleaseOfAHoldWaitsForASecondOperator(t *testing.T) {
	w := twoMust(held(t))
	first := w.state.Holds[0].ID
	w.do(CmdReleaseHold, &events.ReleaseHold{Reason: "case closed"}, "hold.release_requested")
	w.refused(CodeApprovalPending, CmdReleaseHold, &events.ReleaseHold{HoldID: first})
	w.do(CmdPlaceHold, &events.PlaceHold{Reason: "tax"}, "hold.placed", "purge.deferred")
	w.actor = "operator:bob"
	w.do(CmdApprove, &events.Approve{ApprovalID: w.state.Approvals[0].ID}, "approval.granted", "hold.released", "purge.deferred")
	if len(w.state.Holds) != 1 || w.state.Holds[0].Reason != "tax" {
		t.Errorf("held by %+v", w.state.Holds)
	}
	if p := last[*events.HoldReleased](w); p.Reason != "case closed" {
		t.Errorf("released %+v", p)
	}
	w.after(CmdReleaseHold, &events.ReleaseHold{})
	w.actor = "operator:ann"
	w.do(CmdApprove, &events.Approve{ApprovalID: w.state.Approvals[0].ID}, "approval.granted", "hold.released", "purge.started", "step.requested")
}
