// Package channel carries messages out of the house: by mail, to tenants' webhooks, to the operators' chat.
package channel

import (
	"context"
	"errors"
	"time"
)

// The channels of letters, as events name them.
const (
	NameSMTP = "smtp"
	NameChat = "chat"
)

// ErrDown says that a server takes nothing at all now: trying the next letter is of no use.
var ErrDown = errors.New("the server takes no message")

// ErrBounced says that nobody can be reached at an address. It is for good.
var ErrBounced = errors.New("the address takes no mail")

// Timeout bounds each exchange with a server.
const Timeout = 15 * time.Second

// Letter is one message to one person, or to a room.
type Letter struct {
	// ID becomes the Message-ID: a mail that is sent twice (a crash between sending and noting it) is known as one.
	ID      string
	To      string
	Name    string
	Subject string
	Text    string
	HTML    string
	Date    time.Time
	// Unsubscribe is the address that ends mails of this sort by one POST (RFC 8058); "" is none: the mail is no
	// advertisement.
	Unsubscribe string
}

// Letters is a server that takes letters. It is safe for concurrent use.
type Letters interface {
	// Open connects. Every error is an ErrDown.
	Open(ctx context.Context) (Session, error)
}

// Session is one connection. It serves one goroutine.
type Session interface {
	// Send hands one letter over. A fault.Permanent error means that this letter can never be delivered, ErrDown that the
	// server fails for all, any other that this letter should be tried again later.
	Send(ctx context.Context, l Letter) error
	// Close ends the connection. What was sent is sent.
	Close()
}
