package tenant

import (
	"fmt"
	"strings"

	"tenure/shared/events"
)

// Decide says which events follow from c in state s: none when c is an answer that nobody waits for any more or news
// that changes nothing. The error is a *Refusal of the command; anything else is a bug of this package.
func Decide(s State, c Command) ([]events.Payload, error) {
	c.Now = c.Now.UTC()
	c.Name = meaning(s, c)
	d := &decision{state: s, cmd: c, reason: reason(c)}
	run, known := deciders[c.Name]
	if !known {
		return nil, d.refuse(CodeUnknownCommand, "there is no command %q", c.Name)
	}
	if of := generationOf(c.Payload); of != 0 && of != s.Generation {
		return nil, nil // who paid for a life that is over has not paid for this one
	}
	if err := d.permit(); err != nil {
		return nil, err
	}
	if err := run(d); err != nil {
		return nil, err
	}
	if d.bug != nil {
		return nil, d.bug
	}
	return d.out, nil
}

// decision is one call of Decide. state is what the events so far make of the tenant, so that every rule sees
// exactly what a replay of the log will see at this point.
type decision struct {
	state  State
	cmd    Command
	reason string
	out    []events.Payload
	bug    error
	// certificate is what the last step of a purge answered.
	certificate string
}

// decider decides one command. Its error is a *Refusal.
type decider func(d *decision) error

// deciders is filled by init: the rules refer to Decide's helpers, which refer to the map.
var deciders map[string]decider

func init() {
	deciders = map[string]decider{
		CmdRegister:          with(register),
		CmdConfirmPayment:    confirmPayment,
		CmdCancelSignup:      with(cancelSignup),
		CmdRetryProvisioning: with(retryProvisioning),
		CmdAbandon:           with(abandon),
		CmdConvertTrial:      convertTrial,

		CmdUpgrade:      with(upgrade),
		CmdDowngrade:    with(downgrade),
		CmdCancelChange: with(cancelChange),
		CmdChangeDue:    with(changeDue),

		CmdPaymentFailed:    with(paymentFailed),
		CmdPaymentRecovered: paymentRecovered,
		CmdSuspend:          with(suspend),
		CmdResume:           with(resume),
		CmdCheckUsage:       with(checkUsage),
		CmdCool:             with(cool),
		CmdConfigure:        with(configure),
		CmdExempt:           with(exempted),
		CmdEndExemption:     with(endExemption),

		CmdExport:         with(export),
		CmdCancelExport:   with(cancelExport),
		CmdCompleteExport: with(completeExport),
		CmdFailExport:     with(failExport),

		CmdDelete:         with(deleteTenant),
		CmdCancelDeletion: with(cancelDeletion),
		CmdReactivate:     with(reactivate),
		CmdPlaceHold:      with(placeHold),
		CmdReleaseHold:    with(releaseHold),
		CmdApprove:        with(approve),
		CmdReject:         with(reject),
		CmdReportResidue:  with(reportResidue),
		CmdReportEarly:    with(reportEarly),

		CmdCompleteStep:   with(completeStep),
		CmdFailStep:       with(failStep),
		CmdRetryOperation: with(retryOperation),
		CmdFireTimer:      with(fireTimer),
	}
}

// with adapts a rule to the payload it needs. A name sent with another's payload is refused.
func with[P events.Payload](rule func(*decision, P) error) decider {
	return func(d *decision) error {
		p, ok := d.cmd.Payload.(P)
		if !ok {
			return d.refuse(CodeWrongPayload, "%s came with a payload of type %T", d.cmd.Name, d.cmd.Payload)
		}
		return rule(d, p)
	}
}

// generationOf is which of the tenant's lives billing's word is about; 0 is of no particular one.
func generationOf(p events.Payload) int64 {
	switch p := p.(type) {
	case *ConfirmPayment:
		return p.Generation
	case *PaymentFailed:
		return p.Generation
	case *PaymentRecovered:
		return p.Generation
	case *ChangeDue:
		return p.Generation
	}
	return 0
}

// meaning is what a command says in this state: billing's word that it saw a payment ends a sign-up, a trial or a
// debt, whichever is there.
func meaning(s State, c Command) string {
	if _, fact := c.Payload.(*ConfirmPayment); !fact || c.Name != CmdConfirmPayment {
		return c.Name
	}
	switch s.Name {
	case PendingPayment:
		return CmdConfirmPayment
	case Trialing:
		return CmdConvertTrial
	}
	return CmdPaymentRecovered
}

// permit is the one place where a command that the table does not know is refused.
func (d *decision) permit() error {
	if operatorOnly[d.cmd.Name] && d.byTenant() {
		return d.forbid(d.cmd.Name)
	}
	if answers[d.cmd.Name] {
		return nil
	}
	if d.state.Name == None && d.cmd.Name != CmdRegister {
		return d.refuse(CodeUnknownTenant, "there is no such tenant")
	}
	if ok, code := allows(d.state, d.cmd.Name); !ok {
		return d.refuse(code, "%s is not possible while the tenant is %s", d.cmd.Name, d.where())
	}
	return nil
}

// where names the state in refusals, with what stands beside it.
func (d *decision) where() string {
	s := d.state
	switch {
	case s.NeedsOperator():
		return s.Status() + " and waits for an operator"
	case s.QueuedDeletion != nil:
		return s.Status() + " and about to be deleted"
	}
	return s.Status()
}

// byTenant reports whether the tenant acts itself: by its own token, or by a link that was mailed to it.
func (d *decision) byTenant() bool {
	return strings.HasPrefix(d.cmd.Actor, "tenant:") || strings.HasPrefix(d.cmd.Actor, "link:")
}

// change is any payload of the lifecycle's log.
type change interface {
	events.Payload
	StateChange() *events.Change
}

// move emits an event of the table. A move that no row allows is a bug: nothing of the decision is kept then.
func (d *decision) move(command string, to StateName, p change) {
	if d.bug == nil && !leads(d.state.Name, command, to, p.EventType()) {
		d.bug = fmt.Errorf("tenant: no row leads from %q by %s to %q with %s", d.state.Name, command, to, p.EventType())
	}
	d.emit(to, p)
}

// stay is a move that leaves the state as it is.
func (d *decision) stay(command string, p change) { d.move(command, d.state.Name, p) }

// note emits an event about a step, which is no transition.
func (d *decision) note(p change) { d.emit(d.state.Name, p) }

func (d *decision) emit(to StateName, p change) {
	c := p.StateChange()
	c.From, c.To = d.state.Status(), string(to)
	if c.Reason == "" {
		c.Reason = d.reason
	}
	d.state = Evolve(d.state, events.Event{Sequence: d.state.Version + 1, Time: d.cmd.Now}, p)
	c.To = d.state.Status() // a running export shows in it
	c.ReadOnlyUntil = moment(d.state.ReadOnlyUntil())
	d.out = append(d.out, p)
}

// reason is what the sender said, or else what was asked.
func reason(c Command) string {
	var said string
	switch p := c.Payload.(type) {
	case *events.CancelSignup:
		said = p.Reason
	case *events.Abandon:
		said = p.Reason
	case *events.Upgrade:
		said = p.Reason
	case *events.Downgrade:
		said = p.Reason
	case *events.Configure:
		said = p.Reason
	case *events.Suspend:
		said = p.Reason
	case *events.Resume:
		said = p.Reason
	case *events.Delete:
		said = p.Reason
	case *events.CancelDeletion:
		said = p.Reason
	case *events.Reactivate:
		said = p.Reason
	case *events.PlaceHold:
		said = p.Reason
	case *events.ReleaseHold:
		said = p.Reason
	case *events.Approve:
		said = p.Reason
	case *events.Reject:
		said = p.Reason
	case *events.Exempt:
		said = p.Reason
	case *events.EndExemption:
		said = p.Reason
	case *ChangeDue:
		said = "billing is on " + orElse(p.Plan, "no plan")
	case *CompleteStep:
		said = "every step done"
	case *ConfirmPayment:
		said = "payment confirmed"
	case *RetryOperation:
		said = p.Reason
	case *FireTimer:
		kind, _, _ := strings.Cut(p.Kind, ":")
		said = words(kind)
	}
	if said == "" {
		return words(c.Name)
	}
	return said
}

func words(name string) string { return strings.ReplaceAll(name, "_", " ") }
