package pages

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"tenure/services/notifier/internal/link"
	"tenure/services/notifier/internal/store"
	"tenure/shared/events"
	"tenure/shared/plans"
	"tenure/shared/query"
)

// What may become of the data of a tenant that comes back.
const (
	restore = "restore"
	fresh   = "fresh"
)

// choice is the form of a return, with what the chosen way means.
type choice struct {
	Tenant string
	Ways   []way
	Plans  []planOption
	Facts  []fact
	// Shown is the choice that the facts are about, PlanHash what the lifecycle calls them: nobody agrees to what was not on
	// the page.
	Shown, PlanHash string
	// Destroys: there is data, and the chosen way destroys it.
	Destroys bool
	Possible bool
	Button   string
}

// way is one answer to what becomes of the data.
type way struct {
	Data, Label string
	Chosen      bool
	Refusal     string
	Conflicts   []string
	preview     query.Preview
}

type planOption struct {
	Name, Price string
	Chosen      bool
}

type fact struct{ Name, Value string }

// showReturn lets a tenant that left choose how it comes back.
func (p *Pages) showReturn(w http.ResponseWriter, r *http.Request, t link.Token) error {
	offered, err := p.offer(r.Context(), t)
	if err != nil {
		return err
	}
	if offered.mail != nil && r.Method == http.MethodGet {
		if err := store.Clicked(r.Context(), p.DB, t.MailID); err != nil {
			return err
		}
	}
	notice, shown, err := p.used(w, r, t, t.Tenant+" is back")
	if err != nil || shown {
		return err
	}
	now, err := p.ask(r.Context(), t)
	if err != nil {
		return err
	}
	if !slices.Contains([]string{"suspended", "deleting", "deleted"}, now.State) {
		show(w, http.StatusOK, page{Title: fmt.Sprintf("%s is %s", t.Tenant, inWords(now.State)), Notice: notice, Text: []string{notNow(now)}})
		return nil
	}
	c, err := p.choose(r.Context(), t, now, offered, r.URL.Query())
	if err != nil {
		return err
	}
	show(w, http.StatusOK, page{
		Title: "Welcome back, " + t.Tenant, Notice: cmp.Or(hints[r.URL.Query().Get("hint")], notice), Text: situation(now), Return: c,
	})
	return nil
}

// hints are what a form was sent back for.
var hints = map[string]string{
	"changed": "This is what your choice means. If you agree, choose “Come back”.",
	"confirm": "To start fresh, confirm that the old data is destroyed.",
}

func notNow(now query.Tenant) string {
	if now.State == "purging" {
		return "Its data is being destroyed at this moment. When that is done you can come back by this link and start fresh."
	}
	return "There is nothing to choose here."
}

func situation(now query.Tenant) []string {
	switch {
	case now.State == "deleted":
		return []string{"The data is deleted. You can start fresh."}
	case now.DeletionDue != nil:
		return []string{fmt.Sprintf("%s is closed. Its data is kept until %s: until then you can have everything back as it was.", now.Tenant, date(*now.DeletionDue))}
	}
	return []string{fmt.Sprintf("%s is %s. Its data is there.", now.Tenant, inWords(now.State))}
}

// offer is what the mail with the link offers, as long as that stands.
type offer struct {
	mail   *store.CampaignMail
	coupon string
}

func (p *Pages) offer(ctx context.Context, t link.Token) (offer, error) {
	if t.MailID == "" {
		return offer{}, nil
	}
	mail, err := store.CampaignMailByID(ctx, p.DB, t.MailID)
	if err != nil || mail == nil {
		return offer{}, err
	}
	o := offer{mail: mail}
	if mail.UsedAt == nil && (mail.OfferUntil == nil || time.Now().Before(*mail.OfferUntil)) {
		o.coupon = mail.Coupon
	}
	return o, nil
}

// choose makes the form. wish is what was chosen on the page before, if anything.
func (p *Pages) choose(ctx context.Context, t link.Token, now query.Tenant, offered offer, wish url.Values) (*choice, error) {
	plan, data := planIn(now, wish.Get("plan")), fresh
	ways := []way{{Data: fresh, Label: "Start fresh, without the old data"}}
	if now.Restorable {
		ways = slices.Insert(ways, 0, way{Data: restore, Label: "Bring my data back as it was"})
		data = restore
		if wish.Get("data") == fresh {
			data = fresh
		}
	}
	g, asking := errgroup.WithContext(ctx)
	for i := range ways {
		g.Go(func() (err error) {
			ways[i].preview, err = p.preview(asking, t, "reactivate", fieldsOf(returnBy(ways[i].Data, plan, offered.coupon)))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	c := &choice{Tenant: t.Tenant, Ways: ways, Plans: options(now, plan), Shown: data + "/" + plan, Destroys: now.Restorable && data == fresh}
	for i := range ways {
		judge(&ways[i], now, plan)
		if ways[i].Data != data {
			continue
		}
		ways[i].Chosen = true
		chosen := ways[i].preview
		c.PlanHash, c.Possible, c.Button = chosen.PlanHash, chosen.Refusal == nil, "Come back to "+plan
		if c.Possible {
			c.Facts = costs(chosen.Cost)
		}
	}
	if offered.coupon != "" {
		c.Facts = append([]fact{{"Your offer", offered.mail.Says}}, c.Facts...)
		if until := offered.mail.OfferUntil; until != nil {
			c.Facts = slices.Insert(c.Facts, 1, fact{"It stands until", date(*until)})
		}
	}
	return c, nil
}

// planIn is the plan that was chosen, or the tenant's last one.
func planIn(now query.Tenant, chosen string) string {
	if slices.ContainsFunc(now.Plans, func(p query.Plan) bool { return p.Name == chosen }) {
		return chosen
	}
	return now.Plan
}

func options(now query.Tenant, chosen string) []planOption {
	out := make([]planOption, len(now.Plans))
	for i, p := range now.Plans {
		price := "free"
		if p.PriceCents > 0 {
			price = money(p.PriceCents, plans.Currency) + " a month"
		}
		out[i] = planOption{p.Name, price, p.Name == chosen}
	}
	return out
}

// judge says what stands in the way of a return, or comes along with it.
func judge(w *way, now query.Tenant, plan string) {
	if w.preview.Refusal != nil {
		w.Refusal = forPeople(w.preview.Refusal.Detail)
		return
	}
	if w.Data != restore {
		return
	}
	for _, over := range w.preview.OverLimit {
		w.Conflicts = append(w.Conflicts, fmt.Sprintf("It has more than %s has room for: %s %g of %g.", plan, over.Metric, over.Usage, over.Limit))
	}
	switch {
	case now.PendingDue == nil:
	case plan == now.Plan:
		w.Conflicts = append(w.Conflicts, fmt.Sprintf("The move to %s on %s that was scheduled stays so.", now.PendingPlan, date(*now.PendingDue)))
	default:
		w.Conflicts = append(w.Conflicts, fmt.Sprintf("The move to %s that was scheduled is dropped.", now.PendingPlan))
	}
}

// costs are what a return means in money.
func costs(c query.Cost) []fact {
	about := ""
	if c.Source != "stripe" {
		about = "about "
	}
	out := []fact{{"To pay now", about + money(max(0, c.DueNowCents), c.Currency)}}
	if c.NextAt != nil && c.NextCents > 0 {
		out = append(out, fact{"Next invoice", fmt.Sprintf("%s%s on %s", about, money(c.NextCents, c.Currency), date(*c.NextAt))})
	}
	return out
}

// returnBy is the command of a return.
func returnBy(data, plan, coupon string) *events.Reactivate {
	back := data == restore
	return &events.Reactivate{Plan: plan, RestoreData: &back, Coupon: coupon, Reason: "by the link in a mail"}
}

func fieldsOf(c *events.Reactivate) map[string]any {
	fields := map[string]any{"plan": c.Plan, "restore_data": *c.RestoreData}
	if c.Coupon != "" {
		fields["coupon"] = c.Coupon
	}
	return fields
}

// takeReturn brings a tenant back by the choice that was on the page. The lifecycle does not take it when what the page said
// has changed since.
func (p *Pages) takeReturn(w http.ResponseWriter, r *http.Request, t link.Token) error {
	data, plan := r.PostFormValue("data"), r.PostFormValue("plan")
	switch {
	case data != restore && data != fresh, plan == "", r.PostFormValue("do") != "return":
		return again(w, r, data, plan, "")
	case data+"/"+plan != r.PostFormValue("shown"):
		return again(w, r, data, plan, "changed")
	case data == fresh && r.PostFormValue("confirm") != "yes":
		return again(w, r, data, plan, "confirm")
	}
	offered, err := p.offer(r.Context(), t)
	if err != nil {
		return err
	}
	command := returnBy(data, plan, offered.coupon)
	command.PlanHash = r.PostFormValue("plan_hash")
	offerOf := ""
	if offered.coupon != "" {
		offerOf = t.MailID
	}
	return p.act(w, r, t, command, offerOf)
}

// again shows the form once more, with another choice.
func again(w http.ResponseWriter, r *http.Request, data, plan, hint string) error {
	wish := url.Values{"data": {data}, "plan": {plan}}
	if hint != "" {
		wish.Set("hint", hint)
	}
	http.Redirect(w, r, r.URL.Path+"?"+wish.Encode(), http.StatusSeeOther)
	return nil
}
