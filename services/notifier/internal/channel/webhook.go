package channel

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Webhook calls tenants' endpoints by the Standard Webhooks specification. It is safe for concurrent use.
type Webhook struct {
	client *http.Client
}

// NewWebhook calls with a client that reaches no private network (package egress).
func NewWebhook(client *http.Client) *Webhook { return &Webhook{client} }

// Call is one call of one endpoint.
type Call struct {
	URL string
	// ID is the same in each try, so that the receiver knows a call that comes again.
	ID   string
	Body []byte
	// Secrets sign, the newest first; two while one is replaced.
	Secrets [][]byte
	At      time.Time
}

// maxAnswer is how much of an answer is read, so that its connection can be used again.
const maxAnswer = 64 << 10

// Do makes the call and returns the status of the answer. Any of 200 to 299 says that it was taken; an error that there
// was no answer within the timeout.
func (w *Webhook) Do(ctx context.Context, c Call) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(c.Body))
	if err != nil {
		return 0, err
	}
	if err := sign(request.Header, c); err != nil {
		return 0, err
	}
	answer, err := w.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer)
	return answer.StatusCode, nil
}

// sign sets the headers of the specification: webhook-id, webhook-timestamp, webhook-signature.
func sign(header http.Header, c Call) error {
	header.Set("Content-Type", "application/json")
	header.Set("User-Agent", "Tenure-Webhooks/1")
	header.Set(standardwebhooks.HeaderWebhookID, c.ID)
	header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(c.At.Unix(), 10))
	signatures := ""
	for i, secret := range c.Secrets {
		signer, err := standardwebhooks.NewWebhookRaw(secret)
		if err != nil {
			return fmt.Errorf("sign call %s: %w", c.ID, err)
		}
		signature, err := signer.Sign(c.ID, c.At, c.Body)
		if err != nil {
			return fmt.Errorf("sign call %s: %w", c.ID, err)
		}
		if i > 0 {
			signatures += " "
		}
		signatures += signature
	}
	header.Set(standardwebhooks.HeaderWebhookSignature, signatures)
	return nil
}
