package api

import (
	"context"
	"log/slog"
	"time"

	"tenure/services/lifecycle/internal/app"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/events"
	"tenure/shared/plans"
	"tenure/shared/query"
)

// Quoter asks what a change would cost by Stripe's own figures.
type Quoter interface {
	Quote(ctx context.Context, r query.QuoteRequest) (query.Quote, error)
}

// quoteTimeout is how long a preview waits for Stripe before it makes do with an estimate.
const quoteTimeout = 2 * time.Second

// Where the figures of a Cost come from.
const (
	sourceStripe   = "stripe"
	sourceEstimate = "estimate"
)

// Cost is what a command would do to the tenant's bill, in cents.
type Cost struct {
	Currency     string     `json:"currency"`
	DueNowCents  int64      `json:"due_now_cents" doc:"charged at once; negative: credited"`
	NextCents    int64      `json:"next_cents" doc:"the invoice at next_at"`
	NextAt       *time.Time `json:"next_at,omitempty"`
	MonthlyCents int64      `json:"monthly_cents" doc:"by how much a month costs more; negative: less"`
	Lines        []CostLine `json:"lines" doc:"of the invoice, when it is Stripe's"`
	Source       string     `json:"source" enum:"stripe,estimate" doc:"estimate: by the plans' prices, since billing did not answer"`
}

// CostLine is one line of an invoice.
type CostLine struct {
	Description string `json:"description"`
	AmountCents int64  `json:"amount_cents"`
	Proration   bool   `json:"proration,omitempty" doc:"for a part of a period"`
}

// charge is what of a command is about money.
type charge struct {
	query.QuoteRequest
	app.Preview
	from, to plans.Plan
}

func chargeOf(payload events.Payload, p app.Preview, to string) charge {
	o := p.Outlook
	c := charge{Preview: p, QuoteRequest: query.QuoteRequest{Tenant: p.State.ID, Generation: o.End().Generation, Plan: to}}
	if p.State.Name != tenant.Deleted { // whose former life was paid for
		c.from, _ = p.Facts.Plans.Find(p.State.Plan)
	}
	c.to, _ = p.Facts.Plans.Find(to)
	switch command := payload.(type) {
	case *events.Downgrade:
		c.AtPeriodEnd = o.After.Pending != nil
	case *events.Reactivate:
		c.Stays, c.Coupon = true, command.Coupon
	case *events.CancelDeletion:
		c.Stays = true
	case *events.Delete:
		c.Cancel, c.AtPeriodEnd, c.to = true, true, plans.Plan{}
	}
	return c
}

// cost asks billing, and estimates when there is no answer. Nothing is asked where nothing is ever paid.
func (a *API) cost(ctx context.Context, c charge) Cost {
	estimate := c.estimate()
	if c.from.Free() && c.to.Free() {
		return estimate
	}
	ctx, cancel := context.WithTimeout(ctx, quoteTimeout)
	defer cancel()
	quote, err := a.Quoter.Quote(ctx, c.QuoteRequest)
	if err != nil {
		slog.InfoContext(ctx, "billing does not answer; a preview's cost is an estimate", "tenant", c.Tenant, "error", err)
		return estimate
	}
	out := Cost{
		Currency: quote.Currency, DueNowCents: quote.DueNowCents, NextCents: quote.NextCents, NextAt: quote.NextAt,
		MonthlyCents: estimate.MonthlyCents, Lines: make([]CostLine, len(quote.Lines)), Source: sourceStripe,
	}
	for i, l := range quote.Lines {
		out.Lines[i] = CostLine(l)
	}
	return out
}

// estimate expects billing to do what it does for an operation that begins now: a first subscription is paid in full, a
// change of one for the rest of its period, and a trial costs nothing yet.
func (c charge) estimate() Cost {
	cost := Cost{Currency: plans.Currency, MonthlyCents: c.to.Cents - c.from.Cents, Lines: []CostLine{}, Source: sourceEstimate}
	s, now, end := c.State, c.At, c.Facts.PeriodEnd
	begins := c.Outlook.After.Lease != nil && s.Lease == nil
	switch {
	case s.Name == tenant.Trialing:
		end = s.TrialEndsAt
	case begins && c.from.Free():
		cost.DueNowCents, end = c.to.Cents, now.AddDate(0, 1, 0)
	case begins:
		cost.DueNowCents = plans.Prorated(c.from, c.to, now, end)
	}
	if !c.to.Free() && end.After(now) {
		cost.NextCents, cost.NextAt = c.to.Cents, &end
	}
	return cost
}
