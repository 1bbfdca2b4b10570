package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/notifier/internal/campaign"
	"tenure/services/notifier/internal/link"
	"tenure/services/notifier/internal/store"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/pg"
	"tenure/shared/plans"
)

const (
	// staleDays is after how many days a campaign's mail that could not leave is not worth sending any more.
	staleDays = 3
	// campaignPeriod is how often it is looked for steps that are due.
	campaignPeriod = time.Second
)

// Campaigns takes lost tenants in, decides their next steps, and lets go of them when they return. It is safe for
// concurrent use; whatever it decides is decided in a transaction that holds the tenant's profile, so that an event and a
// step never pass each other.
type Campaigns struct {
	db        *pgxpool.Pool
	file      campaign.File
	catalogue plans.Catalogue
	day       time.Duration
	links     link.Links
	// live asks how a tenant is, now.
	live func(ctx context.Context, tenant string) (Live, error)
	// asked is called when a mail was stored.
	asked func()
}

// NewCampaigns returns what Run starts, and what the reactor tells of events.
func NewCampaigns(db *pgxpool.Pool, cfg CampaignConfig) *Campaigns {
	return &Campaigns{db: db, file: cfg.File, catalogue: cfg.Plans, day: cfg.Day, links: cfg.Links, live: cfg.Live, asked: cfg.Asked}
}

// CampaignConfig is what Campaigns are set up with.
type CampaignConfig struct {
	File  campaign.File
	Plans plans.Catalogue
	// Day is how long a day of the file is.
	Day   time.Duration
	Links link.Links
	// Live asks the lifecycle how a tenant is, now.
	Live func(ctx context.Context, tenant string) (Live, error)
	// Asked is called when a mail was stored.
	Asked func()
}

// take makes of a tenant's profile what an event makes of it, in the transaction that claims the event: enrolls whom a
// campaign is for, and stops what must not go on.
func (c *Campaigns) take(ctx context.Context, tx pgx.Tx, e events.Event) error {
	if !campaign.Wants(e.Type) {
		return nil
	}
	payload, err := e.Payload()
	if err != nil {
		return fault.Permanent(err)
	}
	before, err := store.Profile(ctx, tx, e.Subject)
	if err != nil {
		return err
	}
	after, trigger := campaign.Evolve(before, e, payload, c.catalogue)
	if err := store.SaveProfile(ctx, tx, e.Subject, after); err != nil {
		return err
	}
	if err := c.letGo(ctx, tx, e, before.Generation, after); err != nil || trigger == "" {
		return err
	}
	for _, one := range c.file.Campaigns {
		enrollment, taken := one.Enroll(before, trigger, e.Time, c.day)
		if !taken {
			continue
		}
		due, _ := one.Due(enrollment, c.day) // a file has no campaign without steps
		if err := store.Enroll(ctx, tx, enrollment, e, due); err != nil {
			return err
		}
	}
	return nil
}

// letGo stops the enrollments that an event has made pointless, and notes who has come back.
func (c *Campaigns) letGo(ctx context.Context, tx pgx.Tx, e events.Event, generation int64, p campaign.Profile) error {
	all, err := store.Enrollments(ctx, tx, e.Subject, generation, false)
	if err != nil {
		return err
	}
	for _, enrolled := range all {
		back := !p.Gone() && !p.Lost(enrolled.Trigger, c.catalogue) || p.Generation != generation
		if back && p.State != stateReactivating { // until it is back it may fail to
			if err := store.NoteReturn(ctx, tx, enrolled.Enrollment, e.Time, p.Plan); err != nil {
				return err
			}
		}
	}
	running, err := store.Enrollments(ctx, tx, e.Subject, generation, true)
	if err != nil {
		return err
	}
	for _, enrolled := range running {
		if why := campaign.Stops(enrolled.Enrollment, p, campaign.Standing{}, c.catalogue); why != "" {
			if err := store.StopEnrollment(ctx, tx, enrolled.Enrollment, why); err != nil {
				return err
			}
		}
	}
	return nil
}

const stateReactivating = "reactivating"

// Run decides what is due until ctx ends.
func (c *Campaigns) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		decided, err := c.decideOne(ctx)
		if err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "a campaign's step waits; it is tried again", "error", err)
		}
		if !decided || err != nil {
			rest(ctx, campaignPeriod, nil)
		}
	}
	return nil
}

// decideOne decides the step that has waited longest; false when none is due.
func (c *Campaigns) decideOne(ctx context.Context) (bool, error) {
	named, found, err := store.DueEnrollment(ctx, c.db)
	if err != nil || !found {
		return false, err
	}
	sent := false
	err = pg.WithTx(ctx, c.db, func(tx pgx.Tx) error {
		profile, err := store.Profile(ctx, tx, named.Tenant)
		if err != nil {
			return err
		}
		e, due, err := store.RunningEnrollment(ctx, tx, named)
		if err != nil || !due {
			return err
		}
		sent, err = c.decide(ctx, tx, e, profile)
		return err
	})
	if err == nil && sent {
		c.asked()
	}
	return true, err
}

// decide carries out the verdict about an enrollment, and reports whether a mail was stored.
func (c *Campaigns) decide(ctx context.Context, tx pgx.Tx, e store.Enrollment, p campaign.Profile) (sent bool, err error) {
	one, known := c.file.Find(e.Campaign)
	if !known {
		return false, store.StopEnrollment(ctx, tx, e.Enrollment, "the campaign is over")
	}
	offer := ""
	if e.Next < len(one.Steps) {
		offer = one.Steps[e.Next].Offer
	}
	now, err := store.Now(ctx, tx)
	if err != nil {
		return false, err
	}
	since := now.Add(-time.Duration(c.file.Frequency.Days) * c.day)
	standing, err := store.Standing(ctx, tx, e.Enrollment, offer, since)
	if err != nil {
		return false, err
	}
	v := c.file.Decide(one, e.Enrollment, p, standing, c.catalogue, now.In(c.zone(p)), c.day)
	switch v.Action {
	case campaign.Stop:
		return false, store.StopEnrollment(ctx, tx, e.Enrollment, v.Reason)
	case campaign.Wait:
		return false, store.MoveEnrollment(ctx, tx, e.Enrollment, v.Until)
	case campaign.Send:
		if err := c.send(ctx, tx, e, one.Steps[e.Next].Name, v.Offer, now); err != nil {
			return false, err
		}
	}
	e.Next++
	due, more := one.Due(e.Enrollment, c.day)
	if !more {
		due = now // to be stopped
	}
	return v.Action == campaign.Send, store.MoveEnrollment(ctx, tx, e.Enrollment, due)
}

func (c *Campaigns) send(ctx context.Context, tx pgx.Tx, e store.Enrollment, step string, offer campaign.Offer, now time.Time) error {
	expires := now.Add(staleDays * c.day)
	var until time.Time
	if offer.Name != "" {
		until = now.Add(time.Duration(offer.Days) * c.day)
		if !offer.Until.IsZero() && offer.Until.Before(until) {
			until = offer.Until
		}
		if until.Before(expires) {
			expires = until
		}
	}
	return store.SendCampaignMail(ctx, tx, e, step, offer, until, expires)
}

// zone is a tenant's. A name that nobody knows is UTC: it is the tenant's own setting.
func (c *Campaigns) zone(p campaign.Profile) *time.Location {
	zone, err := time.LoadLocation(c.file.ZoneOf(p))
	if err != nil {
		return time.UTC
	}
	return zone
}

// Live is a tenant as the lifecycle has it.
type Live struct {
	State, Plan string
	Generation  int64
}
