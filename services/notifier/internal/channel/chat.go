package channel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"tenure/shared/fault"
)

// Chat is a room of operators behind an incoming webhook, as Slack has them (https://api.slack.com/messaging/webhooks) and
// Mattermost and others understand them. It is safe for concurrent use.
type Chat struct {
	address string
	client  *http.Client
}

// NewChat takes the address that the chat gave, which is a secret: who has it may post.
func NewChat(address string) (*Chat, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("TENURE_SLACK_WEBHOOK is no URL") // without its text, which is a secret
	}
	return &Chat{address: address, client: &http.Client{Timeout: Timeout}}, nil
}

// Open implements Letters; there is nothing to connect.
func (c *Chat) Open(context.Context) (Session, error) { return c, nil }

// Close implements Session.
func (c *Chat) Close() {}

// escape is all that the format wants escaped.
var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// Send implements Session.
func (c *Chat) Send(ctx context.Context, l Letter) error {
	body, err := json.Marshal(map[string]string{"text": "*" + escape.Replace(l.Subject) + "*\n" + escape.Replace(l.Text)})
	if err != nil {
		return fault.Permanent(err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address, bytes.NewReader(body))
	if err != nil {
		return fault.Permanent(errors.New("the chat's address cannot be called"))
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := c.client.Do(request)
	if err != nil {
		var failed *url.Error // it repeats the address
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return fmt.Errorf("%w: %w", ErrDown, err)
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusBadRequest:
		return fault.Permanent(errors.New("the chat does not take this message (400)"))
	}
	// Too many requests, a fault of theirs, or a room that is closed until somebody mends the settings: all wait.
	return fmt.Errorf("%w: the chat answered %s", ErrDown, answer.Status)
}
