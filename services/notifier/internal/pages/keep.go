package pages

import (
	"fmt"
	"net/http"

	"tenure/services/notifier/internal/campaign"
	"tenure/services/notifier/internal/link"
	"tenure/services/notifier/internal/store"
	"tenure/shared/events"
)

// showKeepPlan offers to call a scheduled downgrade off.
func (p *Pages) showKeepPlan(w http.ResponseWriter, r *http.Request, t link.Token) error {
	notice, shown, err := p.used(w, r, t, t.Tenant+" stays on its plan")
	if err != nil || shown {
		return err
	}
	now, err := p.ask(r.Context(), t)
	if err != nil {
		return err
	}
	if now.PendingDue == nil {
		show(w, http.StatusOK, page{Title: "There is nothing to call off", Notice: notice, Text: []string{
			fmt.Sprintf("%s is on the %s plan, and no change is scheduled.", t.Tenant, now.Plan),
		}})
		return nil
	}
	show(w, http.StatusOK, page{
		Title: fmt.Sprintf("Keep %s on the %s plan?", t.Tenant, now.Plan), Notice: notice,
		Text:   []string{fmt.Sprintf("On %s it is to move to the %s plan. You can call that off until then.", date(*now.PendingDue), now.PendingPlan)},
		Button: "Stay on " + now.Plan,
	})
	return nil
}

func (p *Pages) keepPlan(w http.ResponseWriter, r *http.Request, t link.Token) error {
	return p.act(w, r, t, &events.CancelChange{}, "")
}

// showKeepAccount offers to call a deletion off.
func (p *Pages) showKeepAccount(w http.ResponseWriter, r *http.Request, t link.Token) error {
	notice, shown, err := p.used(w, r, t, t.Tenant+" is back")
	if err != nil || shown {
		return err
	}
	now, err := p.ask(r.Context(), t)
	if err != nil {
		return err
	}
	if now.DeletionDue == nil {
		show(w, http.StatusOK, page{Title: "There is nothing to call off", Notice: notice, Text: []string{
			fmt.Sprintf("%s is %s, and no deletion is scheduled.", t.Tenant, inWords(now.State)),
		}})
		return nil
	}
	found, err := p.preview(r.Context(), t, "cancel_deletion", nil)
	if err != nil {
		return err
	}
	out := page{Title: fmt.Sprintf("Keep %s?", t.Tenant), Notice: notice, Text: []string{
		fmt.Sprintf("On %s all of its data will be deleted for good. If you keep it, it comes back as it was, on the %s plan.", date(*now.DeletionDue), now.Plan),
	}}
	if found.Refusal != nil {
		out.Text = append(out.Text, "That is not possible now: "+forPeople(found.Refusal.Detail))
	} else {
		out.Button = "Keep " + t.Tenant
		for _, f := range costs(found.Cost) {
			out.Text = append(out.Text, f.Name+": "+f.Value)
		}
	}
	show(w, http.StatusOK, out)
	return nil
}

func (p *Pages) keepAccount(w http.ResponseWriter, r *http.Request, t link.Token) error {
	return p.act(w, r, t, &events.CancelDeletion{}, "")
}

// showUnsubscribe asks first: programs that look at links in mails must not unsubscribe anybody.
func (p *Pages) showUnsubscribe(w http.ResponseWriter, r *http.Request, t link.Token) error {
	found, err := store.Suppressed(r.Context(), p.DB, t.Tenant)
	if err != nil {
		return err
	}
	if found != nil {
		show(w, http.StatusOK, unsubscribed(t))
		return nil
	}
	show(w, http.StatusOK, page{
		Title: "No more offers?", Button: "Send no more offers",
		Text: []string{fmt.Sprintf("You will get no more mails that ask %s to come back. What you have to know about it, we still tell you.", t.Tenant)},
	})
	return nil
}

// unsubscribe takes the page's own button and a mail program's one click (RFC 8058), which wants no page and no redirect.
func (p *Pages) unsubscribe(w http.ResponseWriter, r *http.Request, t link.Token) error {
	if err := store.Suppress(r.Context(), p.DB, t.Tenant, campaign.SuppressedUnsubscribed); err != nil {
		return err
	}
	if r.FormValue("List-Unsubscribe") == "One-Click" {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	show(w, http.StatusOK, unsubscribed(t))
	return nil
}

func unsubscribed(t link.Token) page {
	return page{Title: "No more offers", Text: []string{fmt.Sprintf("You get no more mails that ask %s to come back.", t.Tenant)}}
}

// pixel is the smallest transparent GIF.
var pixel = []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x01D\x00;")

// opened is the picture that a mail loads. It is shown whatever happens to the note.
func (p *Pages) opened(w http.ResponseWriter, r *http.Request, t link.Token) error {
	err := store.Opened(r.Context(), p.DB, t.MailID)
	w.Header().Set("Content-Type", "image/gif")
	_, _ = w.Write(pixel) // the reader may be gone
	return err
}
