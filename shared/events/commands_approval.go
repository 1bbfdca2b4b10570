package events

// Approve has a deletion or the release of a hold done that another operator asked for. For operators.
type Approve struct {
	ApprovalID string `json:"approval_id" jsonschema:"minLength=1,maxLength=64"`
	Reason     string `json:"reason,omitempty" jsonschema:"maxLength=1000"`
}

// EventType names the type on the bus.
func (*Approve) EventType() string { return "tenure.command.approve.v1" }

// Reject turns down what an operator asked for; whoever asked takes it back so. For operators.
type Reject struct {
	ApprovalID string `json:"approval_id" jsonschema:"minLength=1,maxLength=64"`
	Reason     string `json:"reason,omitempty" jsonschema:"maxLength=1000"`
}

// EventType names the type on the bus.
func (*Reject) EventType() string { return "tenure.command.reject.v1" }

func init() {
	register[Approve]()
	register[Reject]()
}
