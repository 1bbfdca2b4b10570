package events

import "time"

// What one operator asked for and another has to approve, in the lifecycle's log. Who asked, approved or rejected is the
// actor of the event.

// ApprovalRequest is what every request for an approval says.
type ApprovalRequest struct {
	ApprovalID string `json:"approval_id"`
	// RequestedBy is the actor, who cannot approve it.
	RequestedBy string `json:"requested_by"`
	// ExpiresAt is when the request lapses.
	ExpiresAt time.Time `json:"expires_at"`
}

// DeletionApprovalRequested says that a deletion waits for a second operator. Until then nothing of it has happened.
type DeletionApprovalRequested struct {
	Change
	ApprovalRequest
	RetentionDays int `json:"retention_days"`
}

// EventType names the type on the bus.
func (*DeletionApprovalRequested) EventType() string {
	return "tenure.lifecycle.deletion.approval_requested.v1"
}

// HoldReleaseRequested says that the release of legal holds waits for a second operator. Until then they hold.
type HoldReleaseRequested struct {
	Change
	ApprovalRequest
	// Holds are those that would be released; one that is placed later is not among them.
	Holds []string `json:"holds,omitempty"`
}

// EventType names the type on the bus.
func (*HoldReleaseRequested) EventType() string { return "tenure.lifecycle.hold.release_requested.v1" }

// ApprovalGranted says that the actor approved; the events of the command that was asked for follow.
type ApprovalGranted struct {
	Change
	ApprovalID string `json:"approval_id"`
	Command    string `json:"command"`
	// RequestedBy is another actor than this event's.
	RequestedBy string `json:"requested_by"`
}

// EventType names the type on the bus.
func (*ApprovalGranted) EventType() string { return "tenure.lifecycle.approval.granted.v1" }

// ApprovalRejected says that nothing comes of a request: the actor turned it down, or took it back.
type ApprovalRejected struct {
	Change
	ApprovalID string `json:"approval_id"`
	Command    string `json:"command"`
}

// EventType names the type on the bus.
func (*ApprovalRejected) EventType() string { return "tenure.lifecycle.approval.rejected.v1" }

// ApprovalExpired says that nobody approved in time.
type ApprovalExpired struct {
	Change
	ApprovalID string `json:"approval_id"`
	Command    string `json:"command"`
}

// EventType names the type on the bus.
func (*ApprovalExpired) EventType() string { return "tenure.lifecycle.approval.expired.v1" }

func init() {
	register[DeletionApprovalRequested]()
	register[HoldReleaseRequested]()
	register[ApprovalGranted]()
	register[ApprovalRejected]()
	register[ApprovalExpired]()
}
