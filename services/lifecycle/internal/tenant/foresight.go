package tenant

import (
	"slices"
	"time"

	"tenure/shared/events"
)

// Outlook is how it would go on from a command if every participant succeeded, a second operator approved where one must,
// and nobody else said a word.
type Outlook struct {
	// After is the tenant right behind the command.
	After State
	// Events are those of the command and of all that follows from it.
	Events []events.Payload
	// Stages are what the tenant would go through, in order. The last one stays.
	Stages []Stage
}

// End is the tenant when nothing of the command is under way any more.
func (o Outlook) End() State { return o.Stages[len(o.Stages)-1].State }

// Stage is a time in which the tenant's state and blocks are the same.
type Stage struct {
	State State
	// Lasts bounds the stage from above when every participant keeps its time. It is nil when nothing bounds it: an export
	// or a purge takes as long as it takes, and the last stage stays.
	Lasts *time.Duration
}

// Foresee decides a command and follows it to its end: steps are answered with success, and what the command puts off falls
// due. The error is Decide's.
func Foresee(s State, c Command) (Outlook, error) {
	f := foresight{state: s, cmd: c}
	if err := f.take(move{name: c.Name, payload: c.Payload}); err != nil {
		return Outlook{}, err
	}
	f.out.After = f.state
	for {
		wait, moves := f.next()
		if moves == nil {
			f.rest(nil)
			return f.out, nil
		}
		f.rest(wait)
		if wait != nil {
			f.cmd.Now = f.cmd.Now.Add(*wait)
		}
		version := f.state.Version
		for _, m := range moves {
			if err := f.take(m); err != nil {
				return Outlook{}, err
			}
		}
		if f.state.Version == version {
			f.out.Stages[len(f.out.Stages)-1].Lasts = nil // it cannot go on by itself
			return f.out, nil
		}
	}
}

type foresight struct {
	state State
	cmd   Command // as it was asked for, at the time that is reached
	out   Outlook
}

// move is a command that others would send.
type move struct {
	name    string
	payload events.Payload
	by      string // the actor; empty: who asked for the first command
}

func (f *foresight) take(m move) error {
	c := f.cmd
	c.Name, c.Payload, c.Actor = m.name, m.payload, orElse(m.by, c.Actor)
	decided, err := Decide(f.state, c)
	for _, p := range decided {
		f.state = Evolve(f.state, events.Event{Sequence: f.state.Version + 1, Time: c.Now}, p)
		f.out.Events = append(f.out.Events, p)
	}
	return err
}

// rest notes that the tenant stays for a while as it is now.
func (f *foresight) rest(lasts *time.Duration) {
	if n := len(f.out.Stages) - 1; n >= 0 && sameAccess(f.out.Stages[n].State, f.state) {
		whole := (*time.Duration)(nil)
		if so := f.out.Stages[n].Lasts; so != nil && lasts != nil {
			sum := *so + *lasts
			whole = &sum
		}
		f.out.Stages[n] = Stage{f.state, whole}
		return
	}
	f.out.Stages = append(f.out.Stages, Stage{f.state, lasts})
}

func sameAccess(a, b State) bool {
	return a.Name == b.Name && slices.EqualFunc(a.Blocks, b.Blocks, func(a, b events.Block) bool { return a.Kind == b.Kind })
}

// next is what happens next by itself, and after how long at most; no moves: nothing of the command is left.
func (f *foresight) next() (*time.Duration, []move) {
	s := f.state
	if wait, moves := s.awaited(); moves != nil {
		return wait, moves
	}
	switch asked := f.cmd.Name; {
	case slices.ContainsFunc(s.Approvals, withID(f.cmd.NewID)):
		return nil, []move{{CmdApprove, &events.Approve{ApprovalID: f.cmd.NewID}, "operator:second"}}
	case asked == CmdExport && s.Export != nil:
		return nil, []move{{name: CmdCompleteExport, payload: &CompleteExport{ExportID: s.Export.ID}}}
	case asked == CmdDowngrade && s.Pending != nil:
		return f.until(TimerDowngradeDue, s.Pending.DueAt)
	case asked == CmdDelete && s.Name == Deleting && s.Deletion.DeferredBy == nil:
		return f.until(TimerPurgeDue, s.Deletion.ScheduledFor)
	}
	return nil, nil
}

func (f *foresight) until(kind string, due time.Time) (*time.Duration, []move) {
	wait := max(0, due.Sub(f.cmd.Now))
	return &wait, []move{{name: CmdFireTimer, payload: &FireTimer{Kind: kind, Due: due, Generation: f.state.Generation}}}
}

// awaited are the successes that the lease waits for. The steps of a purge are tried until they succeed, so that nothing
// bounds them.
func (s State) awaited() (*time.Duration, []move) {
	if s.Lease == nil || s.Lease.Status == LeaseFailed || s.Lease.Status == LeaseStuck {
		return nil, nil
	}
	var longest time.Duration
	var moves []move
	for _, st := range s.Lease.current() {
		if st.Status == StepRunning || st.Status == StepWaiting {
			longest = max(longest, time.Duration(st.Timeout)*time.Second)
			moves = append(moves, move{name: CmdCompleteStep, payload: &CompleteStep{StepID: st.key(), Participant: st.Participant}})
		}
	}
	if s.Lease.Kind == OpPurge {
		return nil, moves
	}
	return &longest, moves
}
