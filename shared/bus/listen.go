package bus

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
)

// listenBuffer is how many messages may wait for a slow listener; what comes beyond them is lost.
const listenBuffer = 4096

// Listen hears what is said on a subject until ctx ends, each message at most once: what is said while the connection is
// away is lost. It is for what will be said again; what must not be lost is consumed.
func (b *Bus) Listen(ctx context.Context, subject string, hear func(header map[string][]string, data []byte)) error {
	messages := make(chan *nats.Msg, listenBuffer)
	sub, err := b.nc.ChanSubscribe(subject, messages)
	if err != nil {
		return fmt.Errorf("listen to %s: %w", subject, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case msg := <-messages:
			hear(msg.Header, msg.Data)
		}
	}
}
