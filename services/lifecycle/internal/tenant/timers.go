package tenant

import (
	"slices"
	"strings"
	"time"

	"tenure/shared/events"
)

// The kinds of timers. Those of approvals and steps are followed by ":" and the id.
const (
	TimerSignupExpiry = "signup_expiry"
	TimerTrialEnd     = "trial_end"
	TimerGraceEnd     = "grace_end"
	TimerDowngradeDue = "downgrade_due"
	TimerPurgeDue     = "purge_due"
	TimerApproval     = "approval_expiry"
	TimerStepTimeout  = "step_timeout"
	TimerStepRetry    = "step_retry"
)

// Timer is a deadline that a state arms. At Due or later, send FireTimer with it.
type Timer struct {
	Kind string
	Due  time.Time
	// Generation is the life that armed it: a timer of a former life fires into nothing.
	Generation int64
}

// Timers lists the deadlines that are armed. One that is not listed any more needs no deletion to be harmless.
func (s State) Timers() []Timer {
	var out []Timer
	arm := func(kind string, due time.Time) {
		if !due.IsZero() {
			out = append(out, Timer{Kind: kind, Due: due, Generation: s.Generation})
		}
	}
	switch s.Name {
	case PendingPayment:
		arm(TimerSignupExpiry, s.SignupExpiresAt)
	case Trialing:
		arm(TimerTrialEnd, s.TrialEndsAt.Add(s.TrialSettle))
	case Deleting:
		if s.Deletion.DeferredBy == nil {
			arm(TimerPurgeDue, s.Deletion.ScheduledFor)
		}
	}
	if s.Pending != nil && (s.Name == Active || s.Name == PastDue) {
		arm(TimerDowngradeDue, s.Pending.DueAt)
	}
	if s.Grace != nil && (s.Name == PastDue || s.Name == Suspended) {
		arm(TimerGraceEnd, s.Grace.EndsAt)
	}
	if s.Export != nil {
		for _, st := range s.Export.Steps {
			arm(st.timer(), st.Deadline)
		}
	}
	for _, a := range s.Approvals {
		arm(TimerApproval+":"+a.ID, a.ExpiresAt)
	}
	if s.Lease == nil || s.Lease.Status == LeaseFailed {
		return out
	}
	for _, st := range s.Lease.Steps {
		if st.Undo == s.Lease.back() && (st.Status != StepWaiting || !s.withholds(st)) {
			arm(st.timer(), st.Deadline)
		}
	}
	return out
}

// timer is the kind of the timer that a step's deadline arms: a step that is asked is given up then, and one that waits is
// asked again. Of any other there is no deadline.
func (s Step) timer() string {
	if s.Status == StepWaiting {
		return TimerStepRetry + ":" + s.key()
	}
	return TimerStepTimeout + ":" + s.key()
}

// withholds: nothing is erased under a hold, so that asking again waits for the release.
func (s State) withholds(st Step) bool { return st.Action == actionErase && len(s.Holds) > 0 }

// fireTimer does what fell due, if the state still waits for it: a timer that was disarmed, moved or belongs to a
// former life decides to nothing, and so does one that the database's clock has not reached.
func fireTimer(d *decision, p *FireTimer) error {
	armed := slices.ContainsFunc(d.state.Timers(), func(t Timer) bool {
		return t.Kind == p.Kind && t.Generation == p.Generation && !d.cmd.Now.Before(t.Due)
	})
	if !armed {
		return nil
	}
	kind, id, _ := strings.Cut(p.Kind, ":")
	switch kind {
	case TimerSignupExpiry:
		d.move(cmdExpire, Abandoned, &events.SignupAbandoned{})
	case TimerTrialEnd:
		d.endTrial()
	case TimerGraceEnd:
		d.endGrace()
	case TimerDowngradeDue:
		d.beginDowngrade()
	case TimerPurgeDue:
		d.beginPurge()
	case TimerApproval:
		d.expireApproval(id)
	case TimerStepTimeout:
		d.timeOut(id)
	case TimerStepRetry:
		d.askAgain(id)
	}
	return nil
}

// timeOut takes silence for a failure. A drain is not tried again: whoever keeps requests open for so long would
// keep them open the next time, and nothing has been charged yet.
func (d *decision) timeOut(key string) {
	s, _ := d.answered(key)
	d.fail(s, "no answer in time", s.Action == actionDrain && !s.Undo)
}

func (d *decision) askAgain(key string) {
	s, _ := d.answered(key)
	d.request(s)
}
