package channel

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"strconv"
	"strings"

	gomail "github.com/wneessen/go-mail"

	"tenure/shared/fault"
)

// SMTP is a mail server. It is safe for concurrent use.
type SMTP struct {
	host    string
	options []gomail.Option
	from    *mail.Address
	domain  string
}

// NewSMTP reads an address like smtp://user:password@host:587 (TLS when the server offers it, and always before a
// password is sent) or smtps://host (TLS from the first byte). from is the sender, "Name <address>".
func NewSMTP(rawURL, from string) (*SMTP, error) {
	sender, err := mail.ParseAddress(from)
	if err != nil {
		return nil, fmt.Errorf("TENURE_MAIL_FROM: %w", err)
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("SMTP_URL is not a URL") // its error would show the password
	}
	port := u.Port()
	options := []gomail.Option{gomail.WithTimeout(Timeout), gomail.WithTLSPolicy(gomail.TLSOpportunistic)}
	switch {
	case u.Hostname() == "":
		return nil, errors.New("SMTP_URL names no host: write smtp://host:587 or smtps://host")
	case u.Scheme == "smtp" && port == "":
		port = "25"
	case u.Scheme == "smtps":
		options = append(options, gomail.WithSSL())
		if port == "" {
			port = "465"
		}
	case u.Scheme != "smtp":
		return nil, fmt.Errorf("SMTP_URL has the scheme %q: use smtp or smtps", u.Scheme)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("SMTP_URL has the port %q", port)
	}
	options = append(options, gomail.WithPort(number))
	if password, ok := u.User.Password(); ok {
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory), gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover),
			gomail.WithUsername(u.User.Username()), gomail.WithPassword(password))
	}
	_, domain, _ := strings.Cut(sender.Address, "@")
	return &SMTP{host: u.Hostname(), options: options, from: sender, domain: domain}, nil
}

// connection is a Session with a mail server.
type connection struct {
	smtp   *SMTP
	client *gomail.Client
}

// Open implements Letters.
func (s *SMTP) Open(ctx context.Context) (Session, error) {
	client, err := gomail.NewClient(s.host, s.options...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDown, err)
	}
	if err := client.DialWithContext(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDown, err)
	}
	return &connection{s, client}, nil
}

// Close implements Session. Whatever the server says to the farewell changes nothing.
func (s *connection) Close() { _ = s.client.Close() }

// Send implements Session. The library takes no context here: Timeout bounds it.
func (s *connection) Send(_ context.Context, l Letter) error {
	msg, err := s.smtp.compose(l)
	if err != nil {
		return fault.Permanent(err)
	}
	if err := s.client.Send(msg); err != nil && !msg.IsDelivered() {
		return classify(err)
	}
	return nil
}

func (s *SMTP) compose(l Letter) (*gomail.Msg, error) {
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := msg.FromFormat(s.from.Name, s.from.Address); err != nil {
		return nil, fmt.Errorf("sender: %w", err)
	}
	if err := msg.AddToFormat(l.Name, l.To); err != nil {
		// The library's error holds the address, which must not get into events and logs.
		return nil, errors.New("the recipient's address is not one")
	}
	msg.Subject(l.Subject)
	msg.SetMessageIDWithValue(l.ID + "@" + s.domain)
	msg.SetDateWithValue(l.Date)
	// RFC 3834: keeps out-of-office replies away.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	if l.Unsubscribe != "" {
		msg.SetGenHeader("List-Unsubscribe", "<"+l.Unsubscribe+">")
		msg.SetGenHeader("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
	}
	msg.SetBodyString(gomail.TypeTextPlain, l.Text)
	msg.AddAlternativeString(gomail.TypeTextHTML, l.HTML)
	return msg, nil
}

// classify tells a recipient who cannot be reached from a server that cannot be used. A refused sender is the latter:
// it fails every letter until somebody mends the settings, and none of them may be given up for it.
func classify(err error) error {
	var failed *gomail.SendError
	if !errors.As(err, &failed) {
		return fmt.Errorf("%w: %w", ErrDown, err)
	}
	code := failed.ErrorCode()
	aboutLetter := failed.Reason == gomail.ErrSMTPRcptTo || failed.Reason == gomail.ErrSMTPDataClose
	switch {
	case failed.Reason == gomail.ErrSMTPRcptTo && code >= 500:
		return fault.Permanent(fmt.Errorf("%w: the mail server refuses it for good with %d", ErrBounced, code))
	case aboutLetter && code >= 500:
		return fault.Permanent(fmt.Errorf("the mail server refuses it for good with %d", code))
	case aboutLetter && code >= 400:
		return fmt.Errorf("the mail server refuses it for now with %d", code)
	}
	return fmt.Errorf("%w: %s, code %d", ErrDown, failed.Reason, code)
}
