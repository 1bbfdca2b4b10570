package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tenure/services/notifier/internal/campaign"
	"tenure/services/notifier/internal/store"
	"tenure/shared/auth"
	"tenure/shared/problem"
)

func (a *API) registerCampaigns(api huma.API) {
	campaigns := func(method, path, id, summary string) huma.Operation {
		op := route(method, path, id, summary, http.StatusOK)
		op.Tags = []string{"campaigns"}
		return op
	}
	const suppression = "/v1/tenants/{id}/suppression"
	huma.Register(api, campaigns("GET", "/v1/campaigns", "list-campaigns", "What each campaign has come to"), a.results)
	huma.Register(api, campaigns("GET", suppression, "get-suppression", "Whether a tenant gets no campaign mails, and why"), a.suppression)
	huma.Register(api, campaigns("PUT", suppression, "suppress", "Send a tenant no campaign mails any more"), a.suppress)
	huma.Register(api, campaigns("DELETE", suppression, "unsuppress", "Let a tenant have campaign mails again"), a.unsuppress)
}

// CampaignResult is what a campaign has come to.
type CampaignResult struct {
	Name     string          `json:"name"`
	Variants []VariantResult `json:"variants"`
	// Holdout got nothing.
	Holdout VariantResult `json:"holdout" doc:"who got nothing, to compare with"`
	Treated VariantResult `json:"treated" doc:"all who got mails"`
	// Lift is the share of the treated that came back less that of the holdout.
	Lift *float64 `json:"lift,omitempty" doc:"share of the treated that came back, less the holdout's share; absent without a holdout"`
}

// VariantResult counts tenants, but for the mails.
type VariantResult struct {
	Variant    string `json:"variant,omitempty"`
	Enrolled   int64  `json:"enrolled"`
	Running    int64  `json:"running"`
	Sent       int64  `json:"sent"`
	Opened     int64  `json:"opened" doc:"only where the campaign tracks it"`
	Clicked    int64  `json:"clicked"`
	OffersUsed int64  `json:"offers_used"`
	Returned   int64  `json:"returned"`
	// RevenueCents is of a month, on the plans that they came back on, before discounts.
	RevenueCents int64 `json:"revenue_cents" doc:"of a month, on the plans that they came back on, before discounts"`
}

func (r *VariantResult) add(o VariantResult) {
	r.Enrolled, r.Running, r.Sent, r.Opened = r.Enrolled+o.Enrolled, r.Running+o.Running, r.Sent+o.Sent, r.Opened+o.Opened
	r.Clicked, r.OffersUsed, r.Returned, r.RevenueCents = r.Clicked+o.Clicked, r.OffersUsed+o.OffersUsed, r.Returned+o.Returned, r.RevenueCents+o.RevenueCents
}

// share of the enrolled that came back.
func (r *VariantResult) share() float64 {
	if r.Enrolled == 0 {
		return 0
	}
	return float64(r.Returned) / float64(r.Enrolled)
}

func (a *API) results(ctx context.Context, _ *struct{}) (*output[page[*CampaignResult]], error) {
	if err := operator(ctx); err != nil {
		return nil, err
	}
	rows, err := store.Results(ctx, a.DB)
	if err != nil {
		return nil, unavailable(err)
	}
	out := page[*CampaignResult]{Items: []*CampaignResult{}}
	for _, r := range rows {
		if n := len(out.Items); n == 0 || out.Items[n-1].Name != r.Campaign {
			out.Items = append(out.Items, &CampaignResult{Name: r.Campaign, Variants: []VariantResult{}})
		}
		c := out.Items[len(out.Items)-1]
		result := a.resultOf(r)
		if r.Holdout {
			c.Holdout.add(result)
			continue
		}
		c.Treated.add(result)
		if r.Variant != "" {
			c.Variants = append(c.Variants, result)
		}
	}
	for _, c := range out.Items {
		if c.Holdout.Enrolled > 0 {
			lift := c.Treated.share() - c.Holdout.share()
			c.Lift = &lift
		}
	}
	return answer(out), nil
}

func (a *API) resultOf(r store.Result) VariantResult {
	out := VariantResult{
		Variant: r.Variant, Enrolled: r.Enrolled, Running: r.Running, Sent: r.Sent, Opened: r.Opened, Clicked: r.Clicked,
		OffersUsed: r.OffersUsed, Returned: r.Returned,
	}
	for _, name := range r.Plans {
		plan, _ := a.Plans.Find(name)
		out.RevenueCents += plan.Cents
	}
	return out
}

// Suppression is why a tenant gets no campaign mails.
type Suppression struct {
	Suppressed bool       `json:"suppressed"`
	Reason     string     `json:"reason,omitempty"`
	Since      *time.Time `json:"since,omitempty"`
}

func (a *API) suppression(ctx context.Context, in *tenantInput) (*output[Suppression], error) {
	if err := a.reach(ctx, in.ID); err != nil {
		return nil, err
	}
	s, err := store.Suppressed(ctx, a.DB, in.ID)
	if err != nil {
		return nil, unavailable(err)
	}
	if s == nil {
		return answer(Suppression{}), nil
	}
	return answer(Suppression{true, s.Reason, &s.Since}), nil
}

type suppressInput struct {
	ID   string `path:"id"`
	Body struct {
		Reason string `json:"reason" enum:"unsubscribed,bounced,complained"`
	}
}

func (a *API) suppress(ctx context.Context, in *suppressInput) (*output[Suppression], error) {
	if err := a.reach(ctx, in.ID); err != nil {
		return nil, err
	}
	reason := in.Body.Reason
	if !auth.FromContext(ctx).IsOperator() {
		reason = campaign.SuppressedUnsubscribed // what a mail server has said is not for the tenant to say
	}
	if err := store.Suppress(ctx, a.DB, in.ID, reason); err != nil {
		return nil, unavailable(err)
	}
	return a.suppression(ctx, &tenantInput{in.ID})
}

func (a *API) unsuppress(ctx context.Context, in *tenantInput) (*output[Suppression], error) {
	if err := a.reach(ctx, in.ID); err != nil {
		return nil, err
	}
	if err := store.Unsuppress(ctx, a.DB, in.ID); err != nil {
		return nil, unavailable(err)
	}
	return answer(Suppression{}), nil
}

// operator refuses everybody else.
func operator(ctx context.Context) error {
	if !auth.FromContext(ctx).IsOperator() {
		return problem.New(http.StatusForbidden, problem.CodeForbidden, "an operator's token is needed")
	}
	return nil
}
