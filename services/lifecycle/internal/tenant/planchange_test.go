package tenant

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tenure/shared/events"
	"tenure/shared/plans"
)

func TestUpgradeGoesThroughItsPhases(t *testing.T) {
	w := active(t)
	w.do(CmdUpgrade, &events.Upgrade{Plan: "professional", Reason: "growth"}, "upgrade.started", "step.requested", "step.requested")
	w.is(Upgrading)
	if p := last[*events.UpgradeStarted](w); p.Reason != "growth" || p.Operation.FromPlan != "starter" || p.Operation.ToPlan != "professional" {
		t.Errorf("started %+v", p)
	}
	w.done("search", actionProvision)
	w.done("sample", actionProvision, "step.requested")
	if p := last[*events.StepRequested](w); p.Action != actionDrain || !p.Deadline.Equal(epoch.Add(time.Minute)) {
		t.Errorf("the drain is asked with %+v", p)
	}
	w.done("sample", actionDrain, "step.requested")
	w.done(billing, actionBill, "step.requested")
	w.done("sample", actionSwitch, "step.requested")
	w.done("sample", actionRestore, "step.requested") // what was archived comes back before there is no way back
	if w.state.Plan != "starter" {
		t.Error("the plan changed before the end")
	}
	w.done("sample", actionRelease, "upgrade.completed")
	w.is(Active)
	if w.state.Plan != "professional" || w.state.Lease != nil {
		t.Errorf("state %+v", w.state)
	}
}

func TestUpgradeIsRefused(t *testing.T) {
	w := active(t)
	w.refused(CodeUnknownPlan, CmdUpgrade, &events.Upgrade{Plan: "gold"})
	w.refused(CodeNotAnUpgrade, CmdUpgrade, &events.Upgrade{Plan: "starter"})
	w.refused(CodeNotAnUpgrade, CmdUpgrade, &events.Upgrade{Plan: "free"})
	w.facts.PlanHash = "new"
	if r := w.refused(CodePlanChanged, CmdUpgrade, &events.Upgrade{Plan: "professional", PlanHash: "old"}); r.Kind != Conflict {
		t.Errorf("kind %s", r.Kind)
	}
	w.after(CmdUpgrade, &events.Upgrade{Plan: "professional", PlanHash: "new"})
	if r := w.refused(CodeOperationInProgress, CmdUpgrade, &events.Upgrade{Plan: "enterprise"}); r.Kind != Conflict {
		t.Errorf("kind %s", r.Kind)
	}
}

func TestFreeToPaidIsBilledAndFreeToFreeIsNot(t *testing.T) {
	w := newWorld(t)
	w.facts.Plans = append(plans.Catalogue{{Name: "free"}, {Name: "friend"}}, w.facts.Plans[1:]...)
	w.after(CmdRegister, &events.Register{Plan: "free"})
	w.finish()
	billed := func(plan string) bool {
		w.after(CmdUpgrade, &events.Upgrade{Plan: plan})
		steps := last[*events.UpgradeStarted](w).Operation.Steps
		w.finish()
		return slices.ContainsFunc(steps, func(s events.StepPlan) bool { return s.Participant == billing })
	}
	if billed("friend") {
		t.Error("there was nothing to bill")
	}
	if !billed("starter") {
		t.Error("nobody billed it")
	}
}

func TestDeclinedCardUndoesInReverse(t *testing.T) {
	w := active(t).after(CmdUpgrade, &events.Upgrade{Plan: "professional"})
	w.done("sample", actionProvision)
	w.done("search", actionProvision, "step.requested")
	w.done("sample", actionDrain, "step.requested")
	w.failed(billing, actionBill, "step.requested")
	p := last[*events.StepRequested](w)
	if p.Participant != billing || !p.Compensate || p.FromPlan != "professional" || p.ToPlan != "starter" || p.Attempt != 1 {
		t.Errorf("the way back begins with %+v", p)
	}
	w.is(Upgrading)
	w.done(billing, actionBill, "step.requested")
	w.done("sample", actionDrain, "step.requested", "step.requested")
	w.done("search", actionProvision)
	w.done("sample", actionProvision, "upgrade.rolled_back")
	w.is(Active)
	if p := last[*events.UpgradeRolledBack](w); p.Error != "broken" || p.Plan != "starter" {
		t.Errorf("rolled back %+v", p)
	}
}

func TestDrainThatDoesNotEndIsRolledBackBeforeAnyCharge(t *testing.T) {
	w := active(t).after(CmdUpgrade, &events.Upgrade{Plan: "professional"})
	w.done("sample", actionProvision)
	w.done("search", actionProvision, "step.requested")
	w.fire(TimerStepTimeout, "step.errored", "step.requested")
	w.finish()
	w.is(Active)
	for _, e := range w.log {
		if p, ok := e.payload.(*events.StepRequested); ok && p.Operation == OpUpgrade && p.Participant == billing {
			t.Errorf("billing was asked: %+v", p)
		}
	}
}

func TestStuckUpgradeWaitsForAnOperator(t *testing.T) {
	w := active(t).after(CmdUpgrade, &events.Upgrade{Plan: "professional"})
	w.failed("sample", actionProvision, "step.requested", "step.requested")
	w.failed("sample", actionProvision, "upgrade.stuck")
	w.is(Upgrading)
	if !w.state.NeedsOperator() || !slices.Contains(w.state.AllowedCommands(), CmdRetryOperation) {
		t.Fatalf("state %+v", w.state)
	}
	if r := w.refused(CodeOperationInProgress, CmdUpgrade, &events.Upgrade{Plan: "enterprise"}); !strings.Contains(r.Message, "operator") {
		t.Errorf("message %q", r.Message)
	}
	w.done("search", actionProvision)
	w.do(CmdRetryOperation, &RetryOperation{Reason: "disk replaced"}, "step.requested")
	w.done("sample", actionProvision, "upgrade.rolled_back")
	w.is(Active)
}

func TestReleaseIsPastTheReturn(t *testing.T) {
	w := active(t).after(CmdUpgrade, &events.Upgrade{Plan: "professional"})
	for _, step := range []string{actionProvision, actionDrain, actionBill, actionSwitch, actionRestore} {
		for _, s := range w.state.Lease.Steps {
			if s.Action == step {
				w.after(CmdCompleteStep, &CompleteStep{StepID: s.ID, Participant: s.Participant})
			}
		}
	}
	w.do(CmdDelete, &events.Delete{}, "deletion.queued")
	w.failed("sample", actionRelease, "upgrade.stuck")
	w.do(CmdRetryOperation, &RetryOperation{}, "step.requested")
	w.done("sample", actionRelease, "upgrade.completed", "deletion.requested")
	if w.state.Plan != "professional" {
		t.Errorf("plan %s", w.state.Plan)
	}
}

func TestDowngradeWaitsForThePaidPeriod(t *testing.T) {
	w := active(t)
	w.do(CmdDowngrade, &events.Downgrade{Plan: "free"}, "downgrade.scheduled")
	w.is(Active)
	p := w.state.Pending
	if p == nil || p.Plan != "free" || p.Resolution != resolveRefuse || !p.DueAt.Equal(w.facts.PeriodEnd) {
		t.Fatalf("pending %+v", p)
	}
	w.fire(TimerDowngradeDue, "downgrade.started", "step.requested", "step.requested")
	if w.state.Lease.ID != p.OperationID || w.state.Pending != nil {
		t.Errorf("lease %+v, pending %+v", w.state.Lease, w.state.Pending)
	}
	w.finish()
	w.is(Active)
	if w.state.Plan != "free" {
		t.Errorf("plan %s", w.state.Plan)
	}
}

func TestPendingDowngradeIsCancelledReplacedOrDropped(t *testing.T) {
	w := active(t).after(CmdDowngrade, &events.Downgrade{Plan: "free"})
	w.do(CmdDowngrade, &events.Downgrade{Plan: "free", Resolution: "freeze"}, "downgrade.cancelled", "downgrade.scheduled")
	w.do(CmdCancelChange, &events.CancelChange{}, "downgrade.cancelled")
	w.refused(CodeInvalidTransition, CmdCancelChange, &events.CancelChange{})

	w.after(CmdDowngrade, &events.Downgrade{Plan: "free"})
	w.do(CmdUpgrade, &events.Upgrade{Plan: "enterprise"}, "downgrade.cancelled", "upgrade.started", "step.requested", "step.requested")
	w.finish()

	w.after(CmdDowngrade, &events.Downgrade{Plan: "free"})
	w.do(CmdDelete, &events.Delete{}, "downgrade.cancelled", "deletion.requested")
}

func TestCancelOfADueDowngradeIsTooLate(t *testing.T) {
	w := active(t).after(CmdDowngrade, &events.Downgrade{Plan: "free"})
	w.now = w.facts.PeriodEnd
	w.refused(CodeInvalidTransition, CmdCancelChange, &events.CancelChange{})
}

func TestDowngradeThatDoesNotFit(t *testing.T) {
	w := active(t)
	w.facts.Usage = Usage{Queries: 101, Documents: 51, StorageGB: 0.25}
	r := w.refused(CodeUsageOverLimit, CmdDowngrade, &events.Downgrade{Plan: "free"})
	want := []events.Violation{
		{Metric: "queries", Usage: 101, Limit: 100}, {Metric: "documents", Usage: 51, Limit: 50}, {Metric: "storage_gb", Usage: 0.25, Limit: 0.1},
	}
	if again := RefusalOf(r.Event(w.state, CmdDowngrade)); !reflect.DeepEqual(again, r) {
		t.Errorf("repeated, the refusal is %+v, not %+v", again, r)
	}
	if !slices.Equal(r.Violations, want) || r.Kind != Invalid {
		t.Errorf("violations %v", r.Violations)
	}
	for _, v := range want {
		if !strings.Contains(r.Message, v.String()) {
			t.Errorf("%q leaves %s out", r.Message, v)
		}
	}

	w.do(CmdDowngrade, &events.Downgrade{Plan: "free", At: "now", Resolution: "freeze"}, "downgrade.started", "step.requested", "step.requested")
	w.finish()
	if !w.state.Blocked(BlockOverLimit) {
		t.Error("ingest is open")
	}
	w.is(Active)

	// Room lifts the block, whether it is made or bought.
	w.facts.Usage.Documents, w.facts.Usage.StorageGB = 50, 0.1
	w.do(CmdCheckUsage, &CheckUsage{}, "block.lifted", "milestone.reached", "milestone.reached")
	w.facts.Usage.Documents = 51
	w.do(CmdCheckUsage, &CheckUsage{}, "block.added")
	w.do(CmdCheckUsage, &CheckUsage{})
	w.after(CmdUpgrade, &events.Upgrade{Plan: "starter"})
	w.do(CmdCheckUsage, &CheckUsage{})
	w.finish()
	if w.state.Blocked(BlockOverLimit) {
		t.Error("ingest is closed in spite of the room")
	}
}

func TestDowngradeIsCheckedAgainWhenDue(t *testing.T) {
	w := active(t).after(CmdDowngrade, &events.Downgrade{Plan: "free"})
	w.facts.Usage.Documents = 51
	w.fire(TimerDowngradeDue, "downgrade.cancelled")
	w.is(Active)

	w.facts.PeriodEnd = w.now.Add(day)
	w.after(CmdDowngrade, &events.Downgrade{Plan: "free", Resolution: "archive"})
	w.fire(TimerDowngradeDue, "downgrade.started", "step.requested", "step.requested")
	w.done("search", actionProvision)
	w.done("sample", actionProvision, "step.requested")
	w.done("sample", actionArchive, "step.requested")
	w.failed("sample", actionDrain, "step.requested")
	w.finish()
	w.is(Active)
	if p := last[*events.DowngradeRolledBack](w); p.Plan != "starter" {
		t.Errorf("rolled back %+v", p)
	}
}

func TestDowngradeIsRefused(t *testing.T) {
	w := active(t)
	w.refused(CodeUnknownPlan, CmdDowngrade, &events.Downgrade{Plan: "gold"})
	w.refused(CodeNotADowngrade, CmdDowngrade, &events.Downgrade{Plan: "starter"})
	w.refused(CodeNotADowngrade, CmdDowngrade, &events.Downgrade{Plan: "enterprise"})
	w.refused(CodeInvalidArgument, CmdDowngrade, &events.Downgrade{Plan: "free", At: "tomorrow"})
	w.refused(CodeInvalidArgument, CmdDowngrade, &events.Downgrade{Plan: "free", Resolution: "delete"})
	w.refused(CodePlanChanged, CmdDowngrade, &events.Downgrade{Plan: "free", PlanHash: "old"})
}

func TestDowngradeWithoutAPaidPeriodBeginsAtOnce(t *testing.T) {
	w := active(t)
	w.facts.PeriodEnd = time.Time{}
	w.do(CmdDowngrade, &events.Downgrade{Plan: "free"}, "downgrade.started", "step.requested", "step.requested")
}

func TestStuckDowngrade(t *testing.T) {
	w := active(t).after(CmdDowngrade, &events.Downgrade{Plan: "free", At: "now"})
	w.failed("sample", actionProvision, "step.requested", "step.requested")
	w.failed("sample", actionProvision, "downgrade.stuck")
	w.is(Downgrading)
}
