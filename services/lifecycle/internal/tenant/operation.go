package tenant

import (
	"slices"
	"time"

	"tenure/shared/events"
)

// The kinds of operations that take the lease.
const (
	OpProvision  = "provision"
	OpUpgrade    = "upgrade"
	OpDowngrade  = "downgrade"
	OpReactivate = "reactivate"
	OpPurge      = "purge"
)

// The actions of steps.
const (
	actionProvision = "provision"
	actionDrain     = "drain"
	actionBill      = "bill"
	actionSwitch    = "switch"
	actionRelease   = "release"
	actionArchive   = "archive"
	actionRestore   = "restore"
	actionErase     = "erase"
	actionVerify    = "verify"
	actionCertify   = "certify"
	actionApply     = "apply"
	actionExport    = "export"
)

// Gates takes part in plan changes while a gate is there: its step is done when every gate has the new plan.
const Gates = "gates"

// GatesActions are what gates do.
var GatesActions = []string{actionApply}

// Tenure's own services that take part in steps without being registered.
const (
	billing  = "billing"
	deletion = "deletion"
)

// LeaseStatus says which way an operation goes.
type LeaseStatus string

// A lease runs, is undone, waits for a decision about a failed sign-up, or for an operator.
const (
	LeaseRunning      LeaseStatus = "running"
	LeaseCompensating LeaseStatus = "compensating"
	LeaseFailed       LeaseStatus = "failed"
	LeaseStuck        LeaseStatus = "stuck"
)

// StepStatus is where one step stands, forward or, when Undo is set, on the way back.
type StepStatus string

// A step waits for its phase, is asked, waits for its next try, is done, or has no tries left.
const (
	StepPending StepStatus = "pending"
	StepRunning StepStatus = "running"
	StepWaiting StepStatus = "waiting"
	StepDone    StepStatus = "done"
	StepFailed  StepStatus = "failed"
)

// Operation is a saga that holds the tenant's lease.
type Operation struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
	// Epoch is the version at which the lease was taken: higher than that of any lease before.
	Epoch  int64       `json:"epoch"`
	Status LeaseStatus `json:"status"`
	// ReturnTo is the state that a roll-back leads to.
	ReturnTo StateName `json:"return_to,omitempty"`
	FromPlan string    `json:"from_plan,omitempty"`
	ToPlan   string    `json:"to_plan,omitempty"`
	// Coupon is what a tenant was offered to come back.
	Coupon      string `json:"coupon,omitempty"`
	RestoreData *bool  `json:"restore_data,omitempty"`
	Resolution  string `json:"resolution,omitempty"`
	Steps       []Step `json:"steps,omitempty"`
	// Lifted are the blocks that a reactivation took away; they come back when it fails.
	Lifted []events.Block `json:"lifted,omitempty"`
	// Error is why the operation is undone or stuck.
	Error string `json:"error,omitempty"`
}

// Step is one action of one participant. Steps of one phase run side by side. Those of phase 0 were done before the
// operation began (a sign-up's payment): they are never asked for, but they are undone.
type Step struct {
	ID          string     `json:"id"`
	Participant string     `json:"participant"`
	Action      string     `json:"action"`
	Phase       int        `json:"phase"`
	Timeout     int        `json:"timeout"` // seconds
	ReadOnly    bool       `json:"read_only,omitempty"`
	Status      StepStatus `json:"status"`
	// Undo: the step is being taken back; Status and Attempt are those of the way back.
	Undo    bool `json:"undo,omitempty"`
	Attempt int  `json:"attempt,omitempty"`
	// Deadline is when a running step is given up, or when a waiting one is asked again.
	Deadline time.Time `json:"deadline,omitzero"`
}

// undoSuffix makes the id of the way back: a participant that does each step id once must not take it for a repetition.
const undoSuffix = "-undo"

// key is the id under which the step is asked and answered, the way it goes now.
func (s Step) key() string {
	if s.Undo {
		return s.ID + undoSuffix
	}
	return s.ID
}

// asked: it was requested, so that it may have had effects, whatever was answered.
func (s Step) asked() bool { return s.Status != StepPending }

// open: an answer is waited for. A late success counts even after the last try.
func (s Step) open() bool {
	return s.Status == StepRunning || s.Status == StepWaiting || s.Status == StepFailed
}

// request, done and failed move the step as an event says.
func (s *Step) request(p *events.StepRequested) {
	s.Status, s.Attempt, s.Deadline = StepRunning, p.Attempt, p.Deadline
}

func (s *Step) done() { s.Status, s.Deadline = StepDone, time.Time{} }

func (s *Step) failed(p *events.StepErrored) {
	s.Status, s.Deadline = StepWaiting, time.Time{}
	if p.RetryAt != nil {
		s.Deadline = *p.RetryAt
	}
	if p.Final {
		s.Status = StepFailed
	}
}

// undoable: erased data does not come back, and what only looked left nothing behind.
func (s Step) undoable() bool {
	return s.Action != actionErase && s.Action != actionVerify && s.Action != actionCertify
}

func newLease(plan events.OperationPlan, epoch int64, returnTo StateName) *Operation {
	op := &Operation{
		ID: plan.ID, Kind: plan.Kind, Epoch: epoch, Status: LeaseRunning, ReturnTo: returnTo,
		FromPlan: plan.FromPlan, ToPlan: plan.ToPlan, Coupon: plan.Coupon,
	}
	for _, p := range plan.Steps {
		st := Step{
			ID: p.ID, Participant: p.Participant, Action: p.Action, Phase: p.Phase, Timeout: p.TimeoutSeconds,
			ReadOnly: p.ReadOnly, Status: StepPending,
		}
		if p.Phase == 0 {
			st.Status = StepDone
		}
		op.Steps = append(op.Steps, st)
	}
	return op
}

// step finds a step by the id under which it is asked now. An id of the way that was left is not found: its answer
// comes too late.
func (op *Operation) step(key string) (int, bool) {
	if op == nil {
		return 0, false
	}
	i := slices.IndexFunc(op.Steps, func(s Step) bool { return s.key() == key })
	return i, i >= 0
}

// back reports whether the operation goes, or is stuck on, the way back.
func (op *Operation) back() bool {
	return op.Status == LeaseCompensating || slices.ContainsFunc(op.Steps, func(s Step) bool { return s.Undo })
}

// current are the steps of the phase that is at work: the lowest that is not done, or on the way back the highest.
func (op *Operation) current() []Step {
	phase, found := 0, false
	back := op.back()
	for _, s := range op.Steps {
		if s.Status == StepDone || s.Undo != back {
			continue
		}
		if !found || (back && s.Phase > phase) || (!back && s.Phase < phase) {
			phase, found = s.Phase, true
		}
	}
	var out []Step
	for _, s := range op.Steps {
		if found && s.Phase == phase && s.Undo == back {
			out = append(out, s)
		}
	}
	return out
}

// pastReturn: resources of the old plan are being released, so that only the way forward is left.
func (op *Operation) pastReturn() bool {
	return slices.ContainsFunc(op.Steps, func(s Step) bool { return s.Action == actionRelease && !s.Undo && s.asked() })
}

// copy makes a lease that may be changed: the old state stays as it was.
func (op *Operation) copy() *Operation {
	next := *op
	next.Steps = slices.Clone(op.Steps)
	return &next
}

// change applies edit to a copy of the step with this id; an unknown id changes nothing.
func (op *Operation) change(key string, edit func(op *Operation, s *Step)) *Operation {
	i, ok := op.step(key)
	if !ok {
		return op
	}
	next := op.copy()
	edit(next, &next.Steps[i])
	return next
}

func (op *Operation) requested(p *events.StepRequested) *Operation {
	if op != nil && p.Compensate && op.Status == LeaseFailed {
		op = op.compensate("") // an operator gave the failed sign-up up
	}
	return op.change(p.StepID, func(op *Operation, s *Step) {
		s.request(p)
		op.resume()
	})
}

func (op *Operation) done(p *events.StepDone) *Operation {
	return op.change(p.StepID, func(op *Operation, s *Step) {
		s.done()
		op.resume()
	}).turnBack()
}

// resume: a stuck operation goes on when no step of its way is without tries any more.
func (op *Operation) resume() {
	back := op.back()
	failed := func(s Step) bool { return s.Status == StepFailed && s.Undo == back }
	switch {
	case op.Status != LeaseStuck || slices.ContainsFunc(op.Steps, failed):
	case back:
		op.Status = LeaseCompensating
	default:
		op.Status = LeaseRunning
	}
}

func (op *Operation) errored(p *events.StepErrored) *Operation {
	next := op.change(p.StepID, func(_ *Operation, s *Step) { s.failed(p) })
	if next == op || !p.Final {
		return next
	}
	next.Error = p.Error
	switch {
	case next.Status != LeaseRunning, next.pastReturn():
		next.Status = LeaseStuck
	case next.Kind == OpProvision:
		next.Status = LeaseFailed
	default:
		return next.turnBack()
	}
	return next
}

// turnBack leaves an operation that cannot succeed, but not beneath somebody who still erases: they cannot be stopped from
// here, and would meet what a tenant has that came back meanwhile. The last of them turns it back.
func (op *Operation) turnBack() *Operation {
	if op == nil || op.Status != LeaseRunning || op.erasing() {
		return op
	}
	if !slices.ContainsFunc(op.Steps, func(s Step) bool { return s.Status == StepFailed }) {
		return op
	}
	return op.compensate(op.Error)
}

// abort turns a running operation back; one that cannot return goes on to its end. So does one that is erasing; see turnBack.
func (op *Operation) abort(why string) *Operation {
	if op == nil || op.Status != LeaseRunning || op.pastReturn() || op.erasing() {
		return op
	}
	return op.compensate(why)
}

func (op *Operation) erasing() bool {
	return slices.ContainsFunc(op.Steps, func(s Step) bool {
		return s.Action == actionErase && (s.Status == StepRunning || s.Status == StepWaiting)
	})
}

// compensate writes down the way back: every step that was ever asked is undone, also one that failed or never
// answered, for nobody knows how far it came.
func (op *Operation) compensate(why string) *Operation {
	next := op.copy()
	next.Status = LeaseCompensating
	if why != "" {
		next.Error = why
	}
	for i, s := range next.Steps {
		if s.asked() && s.undoable() {
			s.Undo, s.Status, s.Attempt, s.Deadline = true, StepPending, 0, time.Time{}
			next.Steps[i] = s
		}
	}
	return next
}
