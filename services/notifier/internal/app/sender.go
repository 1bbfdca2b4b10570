package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/notifier/internal/campaign"
	"tenure/services/notifier/internal/channel"
	"tenure/services/notifier/internal/link"
	"tenure/services/notifier/internal/message"
	"tenure/services/notifier/internal/store"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/pg"
	"tenure/shared/vault"
)

const (
	// batch is how many messages go through one connection.
	batch = 50
	// lease is for how long a batch is kept from other senders. After half of it nothing more is begun, so that no
	// message is sent by two.
	lease = 5 * time.Minute
	// pollPeriod finds messages that came due, or that another process stored.
	pollPeriod = time.Second
	// firstPause and lastPause bound the wait for a server that is down; the last is short enough that mail flows
	// within a minute of its return.
	firstPause = 500 * time.Millisecond
	lastPause  = 15 * time.Second
	// giveUpAfter is how long a server may put a message off (RFC 5321, 4.5.4.1).
	giveUpAfter = 5 * 24 * time.Hour
)

// Sender sends stored messages over one channel, so that none waits for another channel's server. Several of them, in one
// process or many, share the work.
type Sender struct {
	db    *pgxpool.Pool
	vault *vault.Vault
	log   *eventlog.Log
	out   Channel
	house House
	// campaigns judge and write their mails.
	campaigns *Campaigns
	wake      chan struct{}
}

// Channel is a way out, and whom it reaches.
type Channel struct {
	Name    string
	Letters channel.Letters
	To      []store.Recipient
}

// House is what is the same in all mails.
type House struct {
	// BaseURL is where people reach Tenure, without a slash at the end.
	BaseURL string
	// Operator is whom alerts reach; without an address nobody.
	Operator vault.Contact
	Links    link.Links
	Mails    *message.Set
}

// NewSender returns a sender that Run starts.
func NewSender(db *pgxpool.Pool, v *vault.Vault, log *eventlog.Log, out Channel, house House, campaigns *Campaigns) *Sender {
	return &Sender{db: db, vault: v, log: log, out: out, house: house, campaigns: campaigns, wake: make(chan struct{}, 1)}
}

// Kick says that there is something to send. It never blocks.
func (s *Sender) Kick() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run sends until ctx ends. While the server or the database is away, messages wait.
func (s *Sender) Run(ctx context.Context) error {
	pause := firstPause
	for ctx.Err() == nil {
		sent, err := s.sendBatch(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			slog.WarnContext(ctx, "messages wait", "channel", s.out.Name, "for", pause, "error", err)
			rest(ctx, pause, nil)
			pause = min(2*pause, lastPause)
		case sent < batch:
			pause = firstPause
			rest(ctx, pollPeriod, s.wake)
		default:
			pause = firstPause
		}
	}
	return nil
}

// rest waits for d, for wake, or for the end of ctx.
func rest(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-timer.C:
	}
}

// sendBatch takes what is due and sends it over one connection. An error means that the server, or the database, does
// not work; what was not sent is due again.
func (s *Sender) sendBatch(ctx context.Context) (taken int, err error) {
	began := time.Now()
	due, err := store.Claim(ctx, s.db, s.out.To, batch, lease)
	if err != nil || len(due) == 0 {
		return 0, err
	}
	sent := 0
	defer func() {
		if left := ids(due[sent:]); len(left) > 0 {
			err = errors.Join(err, s.giveBack(ctx, left, err))
		}
	}()
	contacts, err := s.contacts(ctx, due)
	if err != nil {
		return len(due), err
	}
	session, err := s.out.Letters.Open(ctx)
	if err != nil {
		return len(due), err
	}
	defer session.Close()
	for _, m := range due {
		if ctx.Err() != nil || time.Since(began) > lease/2 {
			break
		}
		if err := s.send(ctx, session, m, contacts); err != nil {
			return len(due), err
		}
		sent++
	}
	return len(due), nil
}

// giveBack makes messages due at once: the pause of the sender is what spares the server.
func (s *Sender) giveBack(ctx context.Context, left []string, cause error) error {
	reason := "interrupted"
	if cause != nil {
		reason = cause.Error()
	}
	return store.Postpone(context.WithoutCancel(ctx), s.db, left, reason, 0, false)
}

func ids(messages []store.Message) []string {
	out := make([]string, len(messages))
	for i, m := range messages {
		out[i] = m.ID
	}
	return out
}

// contacts are those of the tenants whose messages do not carry their own.
func (s *Sender) contacts(ctx context.Context, due []store.Message) (map[string]vault.Contact, error) {
	var tenants []string
	for _, m := range due {
		if m.Recipient == store.Owner && m.Contact == nil {
			tenants = append(tenants, m.Tenant)
		}
	}
	if len(tenants) == 0 {
		return nil, nil
	}
	return s.vault.GetAll(ctx, s.db, tenants)
}

// send deals with one message: sent, failed for good, or due later. An error concerns all messages, not this one.
func (s *Sender) send(ctx context.Context, session channel.Session, m store.Message, contacts map[string]vault.Contact) error {
	// The world may have turned since the batch was claimed: no farewell to a tenant that has come back, no reminder to
	// one that has paid.
	if due, err := store.StillDue(ctx, s.db, m.ID); err != nil || !due {
		return err
	}
	contact, known := s.recipient(m, contacts)
	if !known {
		return s.end(ctx, m, "the "+string(m.Recipient)+" has no address")
	}
	letter, err := s.compose(ctx, m, contact)
	var later postponed
	switch {
	case errors.As(err, &later):
		return store.Postpone(ctx, s.db, []string{m.ID}, later.reason, later.wait, false)
	case errors.Is(err, errPointless):
		return store.Supersede(ctx, s.db, m.ID)
	case fault.IsPermanent(err):
		return s.end(ctx, m, err.Error())
	case err != nil:
		return err
	}
	err = session.Send(ctx, letter)
	switch {
	case err == nil:
		return s.end(ctx, m, "")
	case errors.Is(err, channel.ErrDown):
		return err
	case errors.Is(err, channel.ErrBounced):
		return errors.Join(store.Suppress(ctx, s.db, m.Tenant, campaign.SuppressedBounced), s.end(ctx, m, err.Error()))
	case fault.IsPermanent(err):
		return s.end(ctx, m, err.Error())
	case time.Since(m.DueAt) > giveUpAfter:
		return s.end(ctx, m, "given up: "+err.Error())
	}
	return store.Postpone(ctx, s.db, []string{m.ID}, err.Error(), backoff(m.Attempts), true)
}

// errPointless says that a message must not be sent any more.
var errPointless = errors.New("it is not to be sent any more")

// postponed says that a message must not be sent yet. Nobody is at fault.
type postponed struct {
	reason string
	wait   time.Duration
}

func (p postponed) Error() string { return p.reason }

// compose writes a message's letter. A fault.Permanent error: it can never be written.
func (s *Sender) compose(ctx context.Context, m store.Message, contact vault.Contact) (channel.Letter, error) {
	if m.Template == message.Campaign {
		return s.campaigns.compose(ctx, m, contact)
	}
	locale := m.Locale
	if m.Recipient != store.Owner {
		locale = "" // operators are not the tenant's people
	}
	mail, err := s.house.Mails.Render(m.Template, locale, message.View{
		Facts: m.Facts, Tenant: m.Tenant, Name: contact.Name, BaseURL: s.house.BaseURL, Undo: s.undo(m),
	})
	if err != nil {
		return channel.Letter{}, fault.Permanent(err)
	}
	return letterOf(m, contact, mail), nil
}

// undo is the link that calls off what a message tells of; "" where there is none. A life whose beginning was not seen is the
// first one: any other begins with an event that is.
func (s *Sender) undo(m store.Message) string {
	generation := max(1, m.Generation)
	switch m.Template {
	case message.DowngradeScheduled:
		return s.house.Links.KeepPlan(m.Tenant, generation, m.ID, m.Facts.Until)
	case message.DeletionScheduled, message.DeletionReminder:
		return s.house.Links.KeepAccount(m.Tenant, generation, m.ID, m.Facts.Until)
	}
	return ""
}

func letterOf(m store.Message, to vault.Contact, mail message.Mail) channel.Letter {
	return channel.Letter{
		ID: m.ID, To: to.Email, Name: to.Name, Date: m.DueAt, Subject: mail.Subject, Text: mail.Text, HTML: mail.HTML,
	}
}

// recipient is whom to reach; false where nobody is known.
func (s *Sender) recipient(m store.Message, contacts map[string]vault.Contact) (vault.Contact, bool) {
	switch {
	case m.Recipient == store.Operator:
		return s.house.Operator, s.house.Operator.Email != ""
	case m.Recipient == store.OperatorChat:
		return vault.Contact{}, true
	case m.Contact != nil:
		return *m.Contact, true
	}
	contact, known := contacts[m.Tenant]
	return contact, known
}

// backoff doubles from two seconds to ten minutes.
func backoff(attempts int) time.Duration {
	const longest = 10 * time.Minute
	return min(time.Second<<min(attempts, 20), longest)
}

// end closes the message and tells the world, in one transaction. It is finished even when ctx ends meanwhile: the mail
// has left, and would leave again.
func (s *Sender) end(ctx context.Context, m store.Message, failure string) error {
	ctx = context.WithoutCancel(ctx)
	err := pg.WithTx(ctx, s.db, func(tx pgx.Tx) error {
		ended, err := store.End(ctx, tx, m.ID, failure)
		if err != nil || !ended {
			return err
		}
		e, err := s.outcome(m, failure)
		if err != nil {
			return err
		}
		return s.log.Append(ctx, tx, eventlog.Entry{Stream: m.Tenant, Events: []events.Event{e}})
	})
	if err != nil {
		return fmt.Errorf("note what became of message %s: %w", m.ID, err)
	}
	s.log.Kick()
	return nil
}

func (s *Sender) outcome(m store.Message, failure string) (events.Event, error) {
	var payload events.Payload = &events.MessageSent{MessageID: m.ID, Template: string(m.Template), Channel: s.out.Name}
	if failure != "" {
		payload = &events.MessageFailed{MessageID: m.ID, Template: string(m.Template), Channel: s.out.Name, Error: failure}
	}
	e, err := events.New(payload, m.Tenant)
	e.Actor, e.CausationID, e.CorrelationID = actor, m.EventID, m.CorrelationID
	return e, err
}
