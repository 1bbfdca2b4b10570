package tenant

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"tenure/shared/events"
)

// maxBackoff bounds the wait between two tries of a step, so that an operation goes on within a minute of the return
// of what it waited for.
const maxBackoff = 30 * time.Second

// planned writes an operation down. Phases without steps are left out; prior steps are those of phase 0.
func (d *decision) planned(id, kind, from, to string, prior []events.StepPlan, phases ...[]events.StepPlan) events.OperationPlan {
	op := events.OperationPlan{ID: id, Kind: kind, FromPlan: from, ToPlan: to}
	add := func(phase int, steps []events.StepPlan) {
		for _, s := range steps {
			s.ID, s.Phase = fmt.Sprintf("%s-%d", id, len(op.Steps)+1), phase
			op.Steps = append(op.Steps, s)
		}
	}
	add(0, prior)
	phase := 0
	for _, steps := range phases {
		if len(steps) > 0 {
			phase++
			add(phase, steps)
		}
	}
	return op
}

// each has every participant that knows it do the action.
func (d *decision) each(action string) []events.StepPlan {
	var out []events.StepPlan
	for _, p := range d.cmd.Facts.Participants {
		takesPart := slices.Contains(p.Actions, action)
		if action == actionDrain {
			takesPart = p.NeedsDrain
		}
		if takesPart {
			step := d.stepOf(p.Name, action, p.Timeout)
			step.ReadOnly = p.ReadOnly && action == actionSwitch
			out = append(out, step)
		}
	}
	return out
}

// own has one of Tenure's services do the action.
func (d *decision) own(service, action string) []events.StepPlan {
	return []events.StepPlan{d.stepOf(service, action, 0)}
}

// bill is billing's step, when there is or was anything to pay.
func (d *decision) bill(names ...string) []events.StepPlan {
	for _, name := range names {
		if p, _ := d.plan(name); !p.Free() {
			return d.own(billing, actionBill)
		}
	}
	return nil
}

// stepOf takes the participant's timeout, else the policy's. A drain's is the policy's always: it is how long a
// customer's requests may hold a change up.
func (d *decision) stepOf(participant, action string, timeout time.Duration) events.StepPlan {
	switch {
	case action == actionDrain:
		timeout = d.cmd.Facts.Policy.DrainTimeout
	case timeout <= 0:
		timeout = d.cmd.Facts.Policy.StepTimeout
	}
	seconds := max(1, int(math.Ceil(timeout.Seconds())))
	return events.StepPlan{Participant: participant, Action: action, TimeoutSeconds: seconds}
}

// advance asks for the steps whose turn has come, and ends the operation when none is left.
func (d *decision) advance() {
	op := d.state.Lease
	if op.Status != LeaseRunning && op.Status != LeaseCompensating {
		return
	}
	steps := op.current()
	if len(steps) == 0 {
		d.finish(op)
		return
	}
	for _, s := range steps {
		if s.Status == StepPending {
			d.request(s)
		}
	}
}

// request asks a participant. Nothing is erased under a legal hold: the step stays as it is until the release.
func (d *decision) request(s Step) {
	if s.Action == actionExport {
		d.requestFiles(s)
		return
	}
	if d.state.withholds(s) {
		d.deferErasure()
		return
	}
	op := d.state.Lease
	from, to := op.FromPlan, op.ToPlan
	if c := d.state.returnsTo(); s.Action == actionBill && from == to && c.due(d.cmd.Now) {
		// A tenant returns with a change due: Stripe has made its part, and what is to be paid is the lower plan.
		from, to = c.Plan, c.Plan
	}
	if s.Undo {
		from, to = to, from
	}
	d.note(&events.StepRequested{
		Change: events.Change{Reason: op.Kind + ": " + s.Action},
		StepRequest: events.StepRequest{
			StepID: s.key(), OperationID: op.ID, Operation: op.Kind, Participant: s.Participant, Action: s.Action,
			Attempt: s.Attempt + 1, Compensate: s.Undo, FromPlan: from, ToPlan: to, RestoreData: op.RestoreData,
			Coupon: couponFor(op, s), Generation: d.state.Generation, Deadline: d.cmd.Now.Add(time.Duration(s.Timeout) * time.Second),
		},
	})
}

// couponFor is the offer, for the one step that is about money.
func couponFor(op *Operation, s Step) string {
	if s.Action != actionBill {
		return ""
	}
	return op.Coupon
}

// answered finds the step that an answer is about, if it is still waited for: not when it is done already, not when the
// operation has turned back since, and not when the export that it belongs to is over.
func (d *decision) answered(key string) (Step, bool) {
	if i, ok := d.state.Export.step(key); ok {
		s := d.state.Export.Steps[i]
		return s, s.open()
	}
	op := d.state.Lease
	i, ok := op.step(key)
	if !ok || op.Status == LeaseFailed {
		return Step{}, false
	}
	s := op.Steps[i]
	return s, s.open() && s.Undo == op.back()
}

func completeStep(d *decision, p *CompleteStep) error {
	s, ok := d.answered(p.StepID)
	if !ok || s.Participant != p.Participant {
		return nil
	}
	if s.Action == actionExport {
		d.takeFiles(s, p.Result)
		return nil
	}
	if left := rowsLeft(p.Result); s.Action == actionVerify && left > 0 {
		d.fail(s, fmt.Sprintf("%d rows are still there", left), false)
		return nil
	}
	d.note(stepDone(d.state.Lease.ID, s, p.Result))
	if s.Action == actionCertify {
		d.certificate = certificateKey(p.Result)
	}
	d.advance()
	return nil
}

func stepDone(operation string, s Step, result json.RawMessage) *events.StepDone {
	return &events.StepDone{
		Change:      events.Change{Reason: s.Participant + " answered"},
		OperationID: operation, StepID: s.key(), Participant: s.Participant, Action: s.Action, Result: result,
	}
}

// rowsLeft reads the count in a verify's result, {"after": n}: a store that still holds something is not verified, however
// its participant words the answer.
func rowsLeft(result json.RawMessage) int64 {
	var counts struct {
		After int64 `json:"after"`
	}
	_ = json.Unmarshal(result, &counts)
	return counts.After
}

func failStep(d *decision, p *FailStep) error {
	if s, ok := d.answered(p.StepID); ok && s.Status == StepRunning && s.Participant == p.Participant {
		d.fail(s, clip(p.Error), p.Permanent)
	}
	return nil
}

// maxError bounds what others say went wrong, in bytes: it is repeated in events, and they must fit the bus.
const maxError = 2000

func clip(said string) string {
	if len(said) <= maxError {
		return said
	}
	return strings.ToValidUTF8(said[:maxError], "") + " ..."
}

// fail records that a try failed, and what follows from it: another try, the way back, or an operator.
func (d *decision) fail(s Step, why string, permanent bool) {
	spent := permanent || s.Attempt%max(1, d.cmd.Facts.Policy.StepAttempts) == 0
	if s.Action == actionExport {
		d.failFiles(s, why, spent)
		return
	}
	op := d.state.Lease
	// A purge has no way back and no end but success: its steps are tried for ever.
	d.note(d.stepErrored(op.ID, s, why, spent && op.Kind != OpPurge))
	if spent {
		d.spent(s, why)
	}
}

// stepErrored says that a try failed and, unless it was the final one, when the next is made.
func (d *decision) stepErrored(operation string, s Step, why string, final bool) *events.StepErrored {
	e := &events.StepErrored{
		Change:      events.Change{Reason: why},
		OperationID: operation, StepID: s.key(), Participant: s.Participant, Action: s.Action, Attempt: s.Attempt, Error: why,
		Final: final,
	}
	if !final {
		again := d.cmd.Now.Add(d.backoff(s.Attempt))
		e.RetryAt = &again
	}
	return e
}

// spent follows the last try of a step.
func (d *decision) spent(s Step, why string) {
	op, change := d.state.Lease, events.Change{Reason: why}
	switch {
	case op.Kind == OpPurge:
		d.stay(cmdFailStore, &events.PurgeStepFailed{Change: change, OperationID: op.ID, StepID: s.key(), Error: why})
	case op.Status == LeaseCompensating:
		d.advance()
	case op.Status == LeaseFailed:
		d.move(cmdFailProvisioning, ProvisioningFailed, &events.ProvisioningFailed{Change: change, OperationID: op.ID, Error: why})
	case op.Kind == OpUpgrade:
		d.stay(cmdFailUpgrade, &events.UpgradeStuck{Change: change, OperationID: op.ID, Error: why})
	case op.Kind == OpDowngrade:
		d.stay(cmdFailDowngrade, &events.DowngradeStuck{Change: change, OperationID: op.ID, Error: why})
	}
	// Other kinds that are stuck show it in the step's final error and in NeedsOperator.
}

func (d *decision) backoff(attempt int) time.Duration {
	wait := d.cmd.Facts.Policy.StepBackoff
	for i := 1; i < attempt && wait < maxBackoff; i++ {
		wait *= 2
	}
	return min(wait, maxBackoff)
}

// retryOperation gives the steps without tries new ones.
func retryOperation(d *decision, _ *RetryOperation) error {
	op := d.state.Lease
	for _, s := range op.Steps {
		if s.Status == StepFailed && s.Undo == op.back() {
			d.request(s)
		}
	}
	return nil
}

// finish ends an operation, the way it went.
func (d *decision) finish(op *Operation) {
	back := op.back()
	switch op.Kind {
	case OpProvision:
		d.finishProvisioning(op, back)
	case OpUpgrade:
		d.finishUpgrade(op, back)
	case OpDowngrade:
		d.finishDowngrade(op, back)
	case OpReactivate:
		d.finishReactivation(op, back)
	case OpPurge:
		d.finishPurge(op)
	}
	d.settle()
}

// settle catches up on what had to wait for the end of the operation: a deletion, or else the blocks.
func (d *decision) settle() {
	if q := d.state.QueuedDeletion; q != nil {
		d.beginDeletion(cmdBeginDeletion, *q)
		return
	}
	if !slices.Contains(open, d.state.Name) {
		return
	}
	waited := events.Change{Reason: "blocked while an operation ran"}
	switch to, blocks := d.state.home(); to {
	case d.state.Name:
	case PastDue:
		d.move(cmdApplyBlocks, to, &events.PaymentPastDue{
			Change: waited, GraceEndsAt: graceEnd(d.state.Grace), Blocks: blocks,
		})
	case Suspended:
		d.move(cmdApplyBlocks, to, &events.TenantSuspended{Change: waited, Blocks: blocks})
	}
}
