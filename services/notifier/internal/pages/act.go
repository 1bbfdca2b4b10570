package pages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"tenure/services/notifier/internal/link"
	"tenure/services/notifier/internal/store"
	"tenure/shared/events"
	"tenure/shared/query"
	"tenure/shared/schema"
)

// actor is who stands in the log: whoever reads the mail that the link came with.
func actor(t link.Token) string { return "link:" + cmp.Or(t.MailID, t.ID()) }

// act stores a command that the holder of a link gives, and leads to the page that shows what comes of it. A link that was
// used already leads there, too. offerOf is the campaign mail whose offer goes along, or "".
func (p *Pages) act(w http.ResponseWriter, r *http.Request, t link.Token, command events.Payload, offerOf string) error {
	e, err := events.New(command, t.Tenant)
	if err != nil {
		return err
	}
	// What the lifecycle cannot read becomes a dead letter, and nobody would ever tell this link's holder.
	if errors.Join(events.Storable(e.Data), schema.Validate(e.Type, e.Data)) != nil {
		return errForm
	}
	began, err := store.BeginAct(r.Context(), p.DB, store.Act{
		ID: t.ID(), Tenant: t.Tenant, MailID: offerOf, Actor: actor(t), CommandType: e.Type, Data: e.Data,
	})
	if err != nil {
		return err
	}
	if began {
		p.Asked()
	}
	http.Redirect(w, r, r.URL.Path, http.StatusSeeOther)
	return nil
}

// used shows what came of a link that was used; false when it may be used. notice is why its last use came to nothing.
func (p *Pages) used(w http.ResponseWriter, r *http.Request, t link.Token, done string) (notice string, shown bool, err error) {
	act, err := store.ActByID(r.Context(), p.DB, t.ID())
	switch {
	case err != nil || act == nil:
		return "", false, err
	case act.CameToNothing():
		return "This did not work, and nothing was changed: " + forPeople(act.Reason), false, nil
	case act.State == store.ActDone:
		show(w, http.StatusOK, page{Title: done, Text: []string{"You can close this page."}})
	default:
		show(w, http.StatusOK, page{
			Title: "One moment, please", Refresh: true,
			Text: []string{p.progress(r.Context(), t.Tenant), "This page shows by itself how it ends. You need not wait for it: it goes on without you."},
		})
	}
	return "", true, nil
}

// progress says where a tenant is on its way. It is of little weight: without an answer it says less.
func (p *Pages) progress(ctx context.Context, tenant string) string {
	now, err := p.Lifecycle.Tenant(ctx, tenant)
	if err != nil {
		return tenant + ": your wish is stored."
	}
	return fmt.Sprintf("%s is %s.", tenant, inWords(now.State))
}

// forPeople leaves out of a refusal what is for programs.
func forPeople(reason string) string {
	said, _, _ := strings.Cut(reason, "; possible now:")
	if said != "" && !strings.HasSuffix(said, ".") {
		said += "."
	}
	return said
}

// inWords is a state as people say it.
func inWords(state string) string {
	if said, ok := map[string]string{
		"deleting": "closed", "reactivating": "on its way back", "provisioning": "being set up", "purging": "being deleted",
		"past_due": "waiting for a payment",
	}[state]; ok {
		return said
	}
	return strings.ReplaceAll(state, "_", " ")
}

// date writes a time for people anywhere.
func date(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }

// money writes an amount in the smallest unit of a currency that has hundredths.
func money(cents int64, currency string) string {
	sign := ""
	if cents < 0 {
		sign, cents = "-", -cents
	}
	amount := fmt.Sprintf("%d.%02d", cents/100, cents%100)
	if strings.EqualFold(currency, "usd") {
		return sign + "$" + amount
	}
	return sign + amount + " " + strings.ToUpper(currency)
}

// ask looks a link's tenant up.
func (p *Pages) ask(ctx context.Context, t link.Token) (query.Tenant, error) {
	now, err := p.Lifecycle.Tenant(ctx, t.Tenant)
	if err != nil {
		return now, fmt.Errorf("%w: %w", errAway, err)
	}
	if now.Generation > t.Generation {
		return now, errGone
	}
	return now, nil
}

// preview is what a command of the link's holder would do.
func (p *Pages) preview(ctx context.Context, t link.Token, command string, fields map[string]any) (query.Preview, error) {
	found, err := p.Lifecycle.Preview(ctx, query.PreviewRequest{Tenant: t.Tenant, Command: command, Actor: actor(t), Fields: fields})
	if err != nil {
		return found, fmt.Errorf("%w: %w", errAway, err)
	}
	return found, nil
}
