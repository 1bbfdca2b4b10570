package tenant

import (
	"slices"
	"time"

	"tenure/shared/events"
)

// approvalDays is how long a request for an approval stands, in days of the policy.
const approvalDays = 7

// Approval is what one operator asked for and another has to approve. Nothing of it has happened yet.
type Approval struct {
	ID string `json:"id"`
	// Command is delete or release_hold.
	Command     string    `json:"command"`
	Reason      string    `json:"reason,omitempty"`
	RequestedBy string    `json:"requested_by"`
	RequestedAt time.Time `json:"requested_at"`
	ExpiresAt   time.Time `json:"expires_at"`
	// RetentionDays are those of a deletion, counted from the approval.
	RetentionDays int `json:"retention_days,omitempty"`
	// Holds are those to be released. One that was placed after the request is not among them.
	Holds []string `json:"holds,omitempty"`
}

// approval finds an open request; one that has lapsed is none, whether or not its timer has fired.
func (d *decision) approval(id string) (Approval, error) {
	for _, a := range d.state.Approvals {
		if a.ID == id && d.cmd.Now.Before(a.ExpiresAt) {
			return a, nil
		}
	}
	return Approval{}, d.refuse(CodeUnknownApproval, "no request %s waits for an approval; it was decided, or has lapsed", id)
}

// approve does what another operator asked for, if it is still possible.
func approve(d *decision, p *events.Approve) error {
	a, err := d.approval(p.ApprovalID)
	if err != nil {
		return err
	}
	if a.RequestedBy == d.cmd.Actor {
		return d.refuse(CodeSamePerson, "%s asked for it; another operator must approve", d.cmd.Actor)
	}
	if ok, code := allows(d.state, a.Command); !ok {
		return d.refuse(code, "%s is not possible while the tenant is %s", a.Command, d.where())
	}
	d.stay(CmdApprove, &events.ApprovalGranted{ApprovalID: a.ID, Command: a.Command, RequestedBy: a.RequestedBy})
	if a.Command == CmdReleaseHold {
		return d.release(a.Holds, a.Reason)
	}
	if err := d.inRange(a.RetentionDays); err != nil {
		return err // the policy has changed since
	}
	d.leave(a.RetentionDays, a.Reason)
	return nil
}

func reject(d *decision, p *events.Reject) error {
	a, err := d.approval(p.ApprovalID)
	if err != nil {
		return err
	}
	d.stay(CmdReject, &events.ApprovalRejected{ApprovalID: a.ID, Command: a.Command})
	return nil
}

// expireApproval lets a request lapse that nobody approved.
func (d *decision) expireApproval(id string) {
	for _, a := range d.state.Approvals {
		if a.ID == id {
			why := events.Change{Reason: "nobody approved in time"}
			d.stay(cmdExpireApproval, &events.ApprovalExpired{Change: why, ApprovalID: id, Command: a.Command})
		}
	}
}

// askForDeletion has a deletion wait for a second operator. There is one request at a time.
func (d *decision) askForDeletion(days int) error {
	for _, a := range d.state.Approvals {
		if a.Command == CmdDelete {
			return d.pending(a)
		}
	}
	d.stay(CmdDelete, &events.DeletionApprovalRequested{ApprovalRequest: d.approvalRequest(), RetentionDays: days})
	return nil
}

// askForRelease has the release of holds wait for a second operator. There is one request at a time for each hold.
func (d *decision) askForRelease(holds []string) error {
	for _, a := range d.state.Approvals {
		if slices.ContainsFunc(holds, func(id string) bool { return slices.Contains(a.Holds, id) }) {
			return d.pending(a)
		}
	}
	d.stay(CmdReleaseHold, &events.HoldReleaseRequested{ApprovalRequest: d.approvalRequest(), Holds: holds})
	return nil
}

func (d *decision) pending(a Approval) error {
	return d.refuse(CodeApprovalPending, "%s asked for it already, and it waits for another operator's approval (%s)", a.RequestedBy, a.ID)
}

func (d *decision) approvalRequest() events.ApprovalRequest {
	return events.ApprovalRequest{
		ApprovalID: d.cmd.NewID, RequestedBy: d.cmd.Actor, ExpiresAt: d.cmd.Now.Add(approvalDays * d.cmd.Facts.Policy.Day),
	}
}

// addApproval adds a request.
func (s *State) addApproval(a Approval, p events.ApprovalRequest, reason string, at time.Time) {
	a.ID, a.RequestedBy, a.ExpiresAt, a.Reason, a.RequestedAt = p.ApprovalID, p.RequestedBy, p.ExpiresAt, reason, at
	s.Approvals = append(slices.Clip(s.Approvals), a)
}

// dropApprovals drops the requests that something has become of; none is nil, as it is after a round trip through JSON.
func (s *State) dropApprovals(by func(Approval) bool) {
	var left []Approval
	for _, a := range s.Approvals {
		if !by(a) {
			left = append(left, a)
		}
	}
	s.Approvals = left
}

func withID(id string) func(Approval) bool { return func(a Approval) bool { return a.ID == id } }

// toDelete: a deletion that was asked for in another way has overtaken the request.
func toDelete(a Approval) bool { return a.Command == CmdDelete }
