package mailbox

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/emersion/go-message"
)

// Mail is one caught mail, decoded: no transfer encoding, no encoded words.
type Mail struct {
	// To holds the addresses of the envelope, joined by ", "; From is the envelope's too.
	To      string `json:"to"`
	From    string `json:"from"`
	Subject string `json:"subject"`
	// Text and HTML are the first part of either kind; attachments are left out.
	Text string `json:"text"`
	HTML string `json:"html"`
	// Headers has the names as they were sent. The values of a repeated header are joined by line feeds.
	Headers map[string]string `json:"headers"`
	// Time is when the mail was caught, in UTC.
	Time time.Time `json:"time"`
}

// decode reads all that stands in the message itself; the envelope is the caller's.
func decode(r io.Reader) (Mail, error) {
	entity, err := message.Read(r)
	if err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
		return Mail{}, fmt.Errorf("not a mail: %w", err)
	}
	m := Mail{Headers: headers(entity.Header)}
	m.Subject, _ = entity.Header.Text("Subject") // what cannot be decoded comes as it was sent
	err = entity.Walk(func(_ []int, part *message.Entity, err error) error {
		if err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
			return err
		}
		return m.add(part)
	})
	if err != nil {
		return Mail{}, fmt.Errorf("read the mail's parts: %w", err)
	}
	return m, nil
}

// add keeps the part's body when it is the first readable one of its kind.
func (m *Mail) add(part *message.Entity) error {
	kind, _, _ := part.Header.ContentType() // no or a broken type: plain text
	if disposition, _, _ := part.Header.ContentDisposition(); disposition == "attachment" {
		return nil
	}
	into := &m.Text
	switch kind {
	case "text/html":
		into = &m.HTML
	case "text/plain", "":
	default:
		return nil
	}
	if *into != "" {
		return nil
	}
	body, err := io.ReadAll(part.Body)
	if err != nil {
		return err
	}
	*into = strings.ReplaceAll(string(body), "\r\n", "\n")
	return nil
}

func headers(h message.Header) map[string]string {
	out := map[string]string{}
	for fields := h.Fields(); fields.Next(); {
		name := fields.Key()
		if raw, err := fields.Raw(); err == nil {
			name, _, _ = strings.Cut(string(raw), ":")
		}
		value, _ := fields.Text() // what cannot be decoded comes as it was sent
		if before, ok := out[name]; ok {
			value = before + "\n" + value
		}
		out[name] = value
	}
	return out
}
