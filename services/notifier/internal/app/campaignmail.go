package app

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/notifier/internal/campaign"
	"tenure/services/notifier/internal/channel"
	"tenure/services/notifier/internal/language"
	"tenure/services/notifier/internal/message"
	"tenure/services/notifier/internal/store"
	"tenure/shared/fault"
	"tenure/shared/pg"
	"tenure/shared/vault"
)

const (
	// unaskedWait is how long a campaign's mail waits when the lifecycle did not say how its tenant is: nobody misses it.
	unaskedWait = 30 * time.Second
	// newsWait is how long it waits for the events that are known to be on their way here.
	newsWait = time.Second
	// backDays is for how many days a mail's link leads back.
	backDays = 30
)

// compose writes a campaign's mail, when it still may be sent: it may have waited for its server, and the world may have
// turned since.
func (c *Campaigns) compose(ctx context.Context, m store.Message, to vault.Contact) (channel.Letter, error) {
	mail, err := store.CampaignMailByID(ctx, c.db, m.ID)
	if err != nil {
		return channel.Letter{}, err
	}
	if mail == nil {
		return channel.Letter{}, fault.Permanent(fmt.Errorf("campaign mail %s is not there", m.ID))
	}
	one, known := c.file.Find(mail.Campaign)
	if !known {
		return channel.Letter{}, errPointless
	}
	profile, err := c.admit(ctx, mail)
	if err != nil {
		return channel.Letter{}, err
	}
	for _, step := range one.Steps {
		if step.Name == mail.Step {
			return c.write(m, mail, step, one.TrackOpens, profile, to)
		}
	}
	return channel.Letter{}, errPointless // the step was taken out of the file
}

func (c *Campaigns) write(m store.Message, mail *store.CampaignMail, step campaign.Step, track bool, p campaign.Profile, to vault.Contact) (channel.Letter, error) {
	text, locale := step.TextFor(p.Locale)
	view := campaign.View{
		Tenant: m.Tenant, Name: to.Name, Offer: mail.Says, Until: p.Until,
		Link: c.links.Back(m.Tenant, mail.Generation, m.ID, m.DueAt.Add(backDays*c.day)),
	}
	if mail.OfferUntil != nil {
		view.Until = *mail.OfferUntil
	}
	subject, body, err := text.Render(locale, view)
	if err != nil {
		return channel.Letter{}, fault.Permanent(err)
	}
	unsubscribe := c.links.Unsubscribe(m.Tenant, mail.Generation)
	picture := ""
	if track {
		picture = c.links.Opened(m.ID)
	}
	composed, err := message.Compose(locale, subject, body+"\n\n"+language.Of(locale).Farewell+"\n\n"+unsubscribe, picture)
	if err != nil {
		return channel.Letter{}, fault.Permanent(err)
	}
	letter := letterOf(m, to, composed)
	letter.Unsubscribe = unsubscribe
	return letter, nil
}

// admit decides whether a campaign's mail may leave now. The last thing that it does is to ask the lifecycle, whose events
// may be on their way here still: a tenant that is on its way back hears nothing more. What remains is the time that the
// server takes for this one mail.
func (c *Campaigns) admit(ctx context.Context, m *store.CampaignMail) (campaign.Profile, error) {
	p, trigger, v, err := c.recheck(ctx, m)
	switch {
	case err != nil:
		return p, err
	case v.Action == campaign.Stop:
		return p, errPointless
	case v.Action == campaign.Wait:
		return p, postponed{v.Reason, time.Until(v.Until)}
	}
	live, err := c.live(ctx, m.TenantID)
	switch {
	case err != nil && ctx.Err() != nil:
		return p, ctx.Err()
	case err != nil:
		return p, postponed{"the lifecycle did not say how the tenant is: " + err.Error(), unaskedWait}
	}
	now := p
	now.State, now.Plan = live.State, live.Plan
	if live.Generation != m.Generation || !now.Lost(trigger, c.catalogue) {
		return p, postponed{"news of the tenant are on their way", newsWait}
	}
	return p, nil
}

// recheck decides by what is known here.
func (c *Campaigns) recheck(ctx context.Context, m *store.CampaignMail) (p campaign.Profile, t campaign.Trigger, v campaign.Verdict, err error) {
	err = pg.WithTx(ctx, c.db, func(tx pgx.Tx) error {
		if p, err = store.Profile(ctx, tx, m.TenantID); err != nil {
			return err
		}
		enrolled, err := store.EnrollmentOf(ctx, tx, m)
		if err != nil {
			return err
		}
		t = enrolled.Trigger
		var standing campaign.Standing
		suppressed, err := store.Suppressed(ctx, tx, m.TenantID)
		if err != nil {
			return err
		}
		if suppressed != nil {
			standing.Suppressed = suppressed.Reason
		}
		now, err := store.Now(ctx, tx)
		if err != nil {
			return err
		}
		v = c.file.Recheck(enrolled.Enrollment, p, standing, c.catalogue, now.In(c.zone(p)))
		return nil
	})
	return p, t, v, err
}
