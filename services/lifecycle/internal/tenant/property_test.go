package tenant

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tenure/shared/events"
	"tenure/shared/retention"
)

// life is a random life of one tenant, with everything that must hold at every moment of it.
type life struct {
	*world
	t *rapid.T
	// fired are timers that were armed at some time: they may go off late, or twice.
	fired []Timer
	// moves are where in the log Stripe made a scheduled change by itself; untold: the news of the last one are under way.
	moves  []int
	untold bool
}

// TestLives lives many random lives.
func TestLives(t *testing.T) { rapid.Check(t, live) }

// FuzzLives lets the fuzzer choose the lives.
func FuzzLives(f *testing.F) { f.Fuzz(rapid.MakeFuzz(live)) }

func live(t *rapid.T) {
	// Most lives would end young. Beginning anywhere, they also get to where few come.
	begin := situations[rapid.IntRange(0, len(situations)-1).Draw(t, "situation")]
	l := &life{world: begin.make(t), t: t}
	l.observe = l.observed
	l.facts.Policy.StepAttempts = 2
	t.Repeat(map[string]func(*rapid.T){
		"":         l.check,
		"command":  l.command,
		"answer":   l.answer,
		"answer ":  l.answer, // half of a life is waiting for answers
		"news":     l.news,
		"timer":    l.timer,
		"time":     l.time,
		"operator": l.operator,
		"facts":    l.changeFacts,
	})
	l.replay()
	l.settleDown()
	l.checkViews()
	l.checkMoney()
}

func pick[T any](t *rapid.T, name string, of ...T) T { return rapid.SampledFrom(of).Draw(t, name) }

func (l *life) send(name string, p events.Payload) {
	for _, timer := range l.state.Timers() {
		if !slices.Contains(l.fired, timer) {
			l.fired = append(l.fired, timer)
		}
	}
	l.actor = pick(l.t, "actor", "operator:ann", "operator:bob", "tenant:acme", "")
	_, err := l.world.send(name, p)
	l.t.Logf("%s -> %s %v", name, l.state.Status(), err)
}

func (l *life) command(t *rapid.T) {
	plan := func() string { return pick(t, "plan", "free", "starter", "professional", "enterprise", "gold") }
	switch name := rapid.SampledFrom(append(slices.Clone(public), CmdConfirmPayment, CmdConvertTrial)).Draw(t, "name"); name {
	case CmdRegister:
		l.send(name, &events.Register{Plan: plan(), GDPR: rapid.Bool().Draw(t, "gdpr"), TrialDays: pick(t, "trial", 0, 0, 14)})
	case CmdUpgrade:
		l.send(name, &events.Upgrade{Plan: plan()})
	case CmdDowngrade:
		l.send(name, &events.Downgrade{Plan: plan(), At: pick(t, "at", "", "now"), Resolution: pick(t, "resolution", "", "freeze", "archive")})
	case CmdExempt:
		l.send(name, &events.Exempt{Reason: "disputed"})
	case CmdSuspend:
		l.send(name, &events.Suspend{Block: pick(t, "block", "", "abuse")})
	case CmdCancelExport:
		l.send(name, &events.CancelExport{ExportID: l.exportID()})
	case CmdDelete:
		l.send(name, &events.Delete{
			RetentionDays: pick(t, "days", nil, days(1), days(30), days(90), days(0)), Confirm: pick(t, "confirm", "", "acme", "acne"),
		})
	case CmdApprove:
		l.send(name, &events.Approve{ApprovalID: l.approvalID(t)})
	case CmdReject:
		l.send(name, &events.Reject{ApprovalID: l.approvalID(t)})
	case CmdReactivate:
		l.send(name, &events.Reactivate{Plan: pick(t, "plan", "", "", plan()), RestoreData: pick(t, "restore", nil, ptr(false))})
	case CmdRetryOperation:
		l.send(name, &RetryOperation{})
	default:
		p, _ := events.NewPayload(events.CommandType(name))
		l.send(name, p)
	}
}

func (l *life) approvalID(t *rapid.T) string {
	if len(l.state.Approvals) == 0 {
		return "none"
	}
	return rapid.SampledFrom(l.state.Approvals).Draw(t, "approval").ID
}

func (l *life) exportID() string {
	if l.state.Export == nil {
		return "none"
	}
	return l.state.Export.ID
}

// answer answers any step, also one that nobody asks for now.
func (l *life) answer(t *rapid.T) {
	var steps []Step
	if l.state.Lease != nil {
		steps = append(steps, l.state.Lease.Steps...)
	}
	if l.state.Export != nil {
		steps = append(steps, l.state.Export.Steps...)
	}
	if len(steps) == 0 {
		t.Skip("nothing is asked")
	}
	s := rapid.SampledFrom(steps).Draw(t, "step")
	if pick(t, "outcome", true, true, true, false) {
		l.send(CmdCompleteStep, &CompleteStep{StepID: s.key(), Participant: s.Participant, Result: json.RawMessage(noFiles)})
		return
	}
	l.send(CmdFailStep, &FailStep{StepID: s.key(), Participant: s.Participant, Error: "broken", Permanent: rapid.Bool().Draw(t, "permanent")})
}

// news is what the other services tell.
func (l *life) news(t *rapid.T) {
	switch pick(t, "news",
		CmdConfirmPayment, CmdPaymentFailed, CmdPaymentRecovered, CmdChangeDue, CmdCheckUsage, CmdCool, CmdCompleteExport, CmdFailExport,
		CmdReportResidue,
	) {
	case CmdConfirmPayment:
		l.send(CmdConfirmPayment, &ConfirmPayment{Status: pick(t, "status", "active", "trialing")})
	case CmdPaymentFailed:
		l.send(CmdPaymentFailed, &PaymentFailed{})
	case CmdPaymentRecovered:
		l.send(CmdPaymentRecovered, &PaymentRecovered{})
	case CmdChangeDue:
		if l.untold {
			l.tell()
			return
		}
		l.stripeMoves(t)
	case CmdCheckUsage:
		l.send(CmdCheckUsage, &CheckUsage{})
	case CmdCool:
		l.send(CmdCool, &Cool{})
	case CmdCompleteExport:
		l.send(CmdCompleteExport, &CompleteExport{ExportID: l.exportID()})
	case CmdFailExport:
		l.send(CmdFailExport, &FailExport{ExportID: l.exportID()})
	case CmdReportResidue:
		l.send(CmdReportResidue, &ReportResidue{Store: "documents"})
	}
}

// timer fires a timer that is or once was armed, whether it is due or not.
func (l *life) timer(t *rapid.T) {
	timers := append(slices.Clone(l.fired), l.state.Timers()...)
	if len(timers) == 0 {
		t.Skip("no timer")
	}
	timer := rapid.SampledFrom(timers).Draw(t, "timer")
	if pick(t, "wait", true, true, false) && l.now.Before(timer.Due) {
		l.now = timer.Due
	}
	l.send(CmdFireTimer, &FireTimer{Kind: timer.Kind, Due: timer.Due, Generation: timer.Generation})
}

func (l *life) time(t *rapid.T) {
	l.now = l.now.Add(time.Duration(rapid.Int64Range(0, int64(10*day)).Draw(t, "pass")))
}

// operator brings a life on that would otherwise end in front of a closed door.
func (l *life) operator(t *rapid.T) {
	if len(l.state.Holds) > 0 && rapid.Bool().Draw(t, "release") {
		l.send(CmdReleaseHold, &events.ReleaseHold{})
		return
	}
	switch {
	case l.state.NeedsOperator():
		l.send(CmdRetryOperation, &RetryOperation{})
	case l.state.Name == ProvisioningFailed:
		l.send(CmdRetryProvisioning, &events.RetryProvisioning{})
	case l.state.Name == PendingPayment:
		l.send(CmdConfirmPayment, &ConfirmPayment{Status: "active"})
	case l.state.Name == Deleted:
		l.send(CmdReactivate, &events.Reactivate{RestoreData: ptr(false)})
	case l.state.Name == None:
		l.send(CmdRegister, &events.Register{Plan: "starter"})
	default:
		t.Skip("no need")
	}
}

func (l *life) changeFacts(t *rapid.T) {
	l.facts.UsedAt = l.now
	l.facts.Usage = Usage{Documents: rapid.Int64Range(0, 60_000).Draw(t, "documents"), StorageGB: pick(t, "gb", 0.0, 1, 10)}
	l.facts.Policy.Grace = pick(t, "grace", 0, day)
	l.facts.Policy.Retention.Approvals = retention.Approvals{Delete: rapid.Bool().Draw(t, "two delete"), ReleaseHold: rapid.Bool().Draw(t, "two release")}
	l.facts.PeriodEnd = l.now.Add(pick(t, "period", -day, 5*day))
	l.facts.Participants[1].Actions = pick(t, "actions", []string{"provision", "erase", "verify"}, []string{"switch", "release", "export"}, nil)
}

// observed holds what must be true of single events.
func (l *life) observed(before State, e entry, after State) {
	if before.Name == Deleted && after.Name != Deleted {
		if p, ok := e.payload.(*events.TenantReborn); !ok || after.Generation != before.Generation+1 || p.Generation != after.Generation {
			l.Fatalf("a deleted tenant came back with %s", e.event.Name())
		}
	}
	if before.Lease != nil && after.Lease != nil && before.Lease.ID != after.Lease.ID && before.Lease.Status != LeaseFailed {
		l.Fatalf("%s took the lease of %s away", e.event.Name(), before.Lease.ID)
	}
	l.keptApart(before, e.payload, after)
	switch p := e.payload.(type) {
	case *events.ApprovalGranted:
		if p.RequestedBy == l.actor || strings.HasPrefix(l.actor, "tenant:") {
			l.Fatalf("%s approved what %s asked for", l.actor, p.RequestedBy)
		}
	case *events.PurgeStarted:
		asked := before.Deletion
		if l.now.Before(asked.ScheduledFor) || asked.ScheduledFor.Before(asked.RequestedAt.Add(day)) || before.Export != nil {
			l.Fatalf("purge at %s of %+v", l.now, before)
		}
	case *events.StepRequested:
		if p.Action == actionErase && len(before.Holds) > 0 {
			l.Fatalf("erased under a hold: %+v", p)
		}
		if p.Action == actionErase && p.Operation == OpPurge && l.now.Before(before.Deletion.ScheduledFor) {
			l.Fatalf("erased before the deadline: %+v", p)
		}
		if p.Action == actionErase && p.Participant == billing && before.Name != Purging {
			l.Fatalf("a customer that stays is erased: %+v", p)
		}
	case *events.PurgeDeferred:
		if before.Deletion.DeferredBy != nil && slices.Equal(before.Deletion.DeferredBy, after.Deletion.DeferredBy) {
			l.Fatalf("deferred twice for %v", after.Deletion.DeferredBy)
		}
	}
}

// keptApart: an export's steps leave the lease alone, and the lease's the export.
func (l *life) keptApart(before State, p events.Payload, after State) {
	operation := OperationOf(p)
	if before.Export != nil && operation == before.Export.ID && !reflect.DeepEqual(before.Lease, after.Lease) {
		l.Fatalf("%T of the export changed the lease to %+v", p, after.Lease)
	}
	if before.Lease != nil && operation == before.Lease.ID && !reflect.DeepEqual(before.Export, after.Export) {
		l.Fatalf("%T of the lease changed the export to %+v", p, after.Export)
	}
	s, asks := p.(*events.StepRequested)
	if asks && s.Action == actionExport && (after.Export == nil || after.Export.ID != s.OperationID) {
		l.Fatalf("asked for files of no export: %+v", s)
	}
}

// check holds what must be true of every state.
func (l *life) check(*rapid.T) {
	s := l.state
	if got := clone(l.Fatal, s); !reflect.DeepEqual(got, s) {
		l.Fatalf("the state changes in JSON:\n%+v\n%+v", s, got)
	}
	leases := slices.Contains(leased, s.Name) || s.Name == Purging || s.Name == ProvisioningFailed
	if (s.Lease != nil) != leases {
		l.Fatalf("%s with lease %+v", s.Name, s.Lease)
	}
	if s.Lease != nil && s.Lease.back() && s.Lease.erasing() {
		l.Fatalf("turned back beneath the erasing: %+v", s.Lease)
	}
	closed := slices.ContainsFunc(s.Blocks, closing)
	if slices.Contains(open, s.Name) && closed || s.Name == Suspended && !closed {
		l.Fatalf("%s with blocks %+v", s.Name, s.Blocks)
	}
	for i, b := range s.Blocks {
		if slices.ContainsFunc(s.Blocks[:i], func(o events.Block) bool { return o.Kind == b.Kind }) {
			l.Fatalf("two %s blocks", b.Kind)
		}
	}
	if s.Name == PastDue && s.Grace == nil || (s.Name == Trialing || s.Name == Active) && s.Grace != nil {
		l.Fatalf("%s with grace %+v", s.Name, s.Grace)
	}
	if s.Exempt != nil && (slices.ContainsFunc(s.Blocks, unpaid) || s.Grace != nil && !s.Grace.EndsAt.IsZero()) {
		l.Fatalf("an exempt tenant with blocks %+v, grace %+v", s.Blocks, s.Grace)
	}
	if s.Name == Trialing && s.TrialEndsAt.IsZero() || s.Name == Active && !s.TrialEndsAt.IsZero() {
		l.Fatalf("%s with a trial until %s", s.Name, s.TrialEndsAt)
	}
	if s.QueuedDeletion != nil && !slices.Contains(leased, s.Name) {
		l.Fatalf("%s with a deletion queued", s.Name)
	}
	if s.Name == Deleting && s.Deletion == nil || s.Name == Purging && s.Export != nil {
		l.Fatalf("%s with deletion %+v, export %+v", s.Name, s.Deletion, s.Export)
	}
	l.checkAlive()
}

// checkAlive: whoever waits has a deadline, or is named to an operator.
func (l *life) checkAlive() {
	s := l.state
	if s.Export != nil {
		for _, st := range s.Export.Steps {
			if st.Status != StepDone && !slices.ContainsFunc(s.Timers(), func(t Timer) bool { return t.Kind == st.timer() }) {
				l.Fatalf("nothing ends %+v of %+v", st, s.Export)
			}
		}
	}
	switch {
	case s.Name == PendingPayment, s.Name == Trialing, s.Name == Deleting && s.Deletion.DeferredBy == nil,
		s.Name == PastDue && !s.Grace.EndsAt.IsZero():
		if len(s.Timers()) == 0 {
			l.Fatalf("nothing ends %s: %+v", s.Name, s)
		}
	case (s.Name == Active || s.Name == PastDue) && s.Pending != nil:
		if !slices.ContainsFunc(s.Timers(), func(t Timer) bool { return t.Kind == TimerDowngradeDue }) {
			l.Fatalf("nothing begins %+v", s.Pending)
		}
	case s.Lease == nil, s.Lease.Status == LeaseFailed, s.NeedsOperator():
	case len(s.Timers()) == 0 && len(s.Holds) == 0:
		l.Fatalf("nothing drives %+v", s.Lease)
	}
}

// replay: the log alone must give the state.
func (l *life) replay() {
	s := State{ID: "acme"}
	for _, e := range l.log {
		if e.event.Sequence != s.Version+1 {
			l.Fatalf("event %d after %d", e.event.Sequence, s.Version)
		}
		s = Evolve(s, e.event, e.payload)
	}
	if !reflect.DeepEqual(s, l.state) {
		l.Fatalf("the log says\n%+v, not\n%+v", s, l.state)
	}
}

// settleDown: when the holds are released, all news told and all steps answered, every lease ends, and what is due begins.
func (l *life) settleDown() {
	if l.untold {
		l.tell()
	}
	l.actor, l.facts.Policy.Retention.Approvals = "operator:ann", retention.Approvals{}
	if len(l.state.Holds) > 0 {
		l.after(CmdReleaseHold, &events.ReleaseHold{})
	}
	for range 100 {
		op := l.state.Lease
		if op == nil && l.state.changeDue(l.now) && l.state.Name != Suspended {
			l.after(CmdFireTimer, &FireTimer{Kind: TimerDowngradeDue, Generation: l.state.Generation})
			continue
		}
		if op == nil || op.Status == LeaseFailed {
			return
		}
		if l.state.NeedsOperator() {
			l.after(CmdRetryOperation, &RetryOperation{})
		}
		for _, t := range l.state.Timers() {
			if kind, key, _ := strings.Cut(t.Kind, ":"); kind == TimerStepRetry {
				if l.now.Before(t.Due) {
					l.now = t.Due
				}
				l.after(CmdFireTimer, &FireTimer{Kind: t.Kind, Due: t.Due, Generation: t.Generation})
			} else if i, ok := l.state.Lease.step(key); kind == TimerStepTimeout && ok {
				l.after(CmdCompleteStep, &CompleteStep{StepID: key, Participant: l.state.Lease.Steps[i].Participant})
			}
		}
	}
	l.Fatalf("the lease does not end: %+v", l.state.Lease)
}

// checkViews: what is shown to run, runs.
func (l *life) checkViews() {
	running := map[string]bool{l.exportID(): true}
	if l.state.Lease != nil {
		running[l.state.Lease.ID] = true
	}
	if l.state.Pending != nil {
		running[l.state.Pending.OperationID] = true
	}
	for id, v := range l.views() {
		if v.Kind == "" || v.EndedAt.IsZero() && !running[id] {
			l.Fatalf("an operation without an end: %+v", v)
		}
	}
}
