package events

// MessageSent says that one logical message left, once.
type MessageSent struct {
	MessageID string `json:"message_id"`
	Template  string `json:"template"`
	Channel   string `json:"channel"`
}

// EventType names the type on the bus.
func (*MessageSent) EventType() string { return "tenure.notifier.message.sent.v1" }

// MessageFailed says that a message can never be delivered (a wrong address).
type MessageFailed struct {
	MessageID string `json:"message_id"`
	Template  string `json:"template"`
	Channel   string `json:"channel"`
	Error     string `json:"error"`
}

// EventType names the type on the bus.
func (*MessageFailed) EventType() string { return "tenure.notifier.message.failed.v1" }

func init() {
	register[MessageSent]()
	register[MessageFailed]()
}
