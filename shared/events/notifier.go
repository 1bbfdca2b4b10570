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

// WebhookDisabled says that a tenant's endpoint is called no more: for days no call of it was taken, or it said that it is
// gone.
type WebhookDisabled struct {
	EndpointID string `json:"endpoint_id"`
	// Status is the HTTP status of the last answer; 0: there was none.
	Status int `json:"status"`
}

// EventType names the type on the bus.
func (*WebhookDisabled) EventType() string { return "tenure.notifier.webhook.disabled.v1" }

// WebhookTested is sent to an endpoint because somebody wants to see it arrive.
type WebhookTested struct {
	EndpointID string `json:"endpoint_id"`
}

// EventType names the type on the bus.
func (*WebhookTested) EventType() string { return "tenure.notifier.webhook.tested.v1" }

func init() {
	register[WebhookDisabled]()
	register[WebhookTested]()
	register[MessageSent]()
	register[MessageFailed]()
}
