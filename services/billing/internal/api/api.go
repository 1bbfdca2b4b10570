// Package api is billing's HTTP side for operators: what Stripe and the log do not agree about.
package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tenure/services/billing/internal/reconcile"
	"tenure/shared/auth"
	"tenure/shared/fault"
	"tenure/shared/pg"
	"tenure/shared/problem"
)

// API is safe for concurrent use.
type API struct {
	Reconciler *reconcile.Reconciler
}

// Register adds the routes.
func (a *API) Register(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "get-billing-drift", Method: http.MethodGet, Path: "/v1/billing/drift",
		Summary:     "Where Stripe and the log do not agree",
		Description: "Compares everything now, which takes as long as Stripe takes to list all subscriptions. Changes nothing.",
	}, a.answer((*reconcile.Reconciler).Look))
	huma.Register(api, huma.Operation{
		OperationID: "heal-billing-drift", Method: http.MethodPost, Path: "/v1/billing/drift/heal", DefaultStatus: http.StatusOK,
		Summary:     "Set right where Stripe and the log do not agree, as far as nobody is charged for it",
		Description: "Compares everything now. What is not healed needs a person's decision.",
	}, a.answer((*reconcile.Reconciler).Heal))
}

// Drift is what a look came to.
type Drift struct {
	Items   []Difference `json:"items"`
	Checked int          `json:"checked" doc:"How many lives of tenants, and customers that are nobody's, were compared"`
	More    bool         `json:"more" doc:"More differs than one look takes in: ask again when this is mended"`
	TookMS  int64        `json:"took_ms"`
}

// Difference is one thing that Stripe and the log do not agree about.
type Difference struct {
	Tenant         string    `json:"tenant"`
	Kind           string    `json:"kind" enum:"unknown_customer,missed_news,missing_subscription,extra_subscription,plan_differs,charged_after_end,not_leaving,not_staying,left_schedule,not_scheduled"`
	Detail         string    `json:"detail" doc:"For people"`
	SubscriptionID string    `json:"subscription_id,omitempty"`
	Plan           string    `json:"plan,omitempty" doc:"What the tenant is on"`
	LivePlan       string    `json:"live_plan,omitempty" doc:"What Stripe charges for"`
	Healed         bool      `json:"healed" doc:"Tenure has set it right"`
	NeedsPerson    bool      `json:"needs_person" doc:"Tenure will not, or could not, set it right: see the runbook billing-drift"`
	FirstSeen      time.Time `json:"first_seen"`
}

type output struct {
	Body Drift
}

func (a *API) answer(look func(*reconcile.Reconciler, context.Context) (reconcile.Report, error)) func(context.Context, *struct{}) (*output, error) {
	return func(ctx context.Context, _ *struct{}) (*output, error) {
		if !auth.FromContext(ctx).IsOperator() {
			return nil, problem.New(http.StatusForbidden, "forbidden", "an operator's token is needed")
		}
		report, err := look(a.Reconciler, ctx)
		if err != nil {
			return nil, unavailable(err)
		}
		return &output{Body: bodyOf(report)}, nil
	}
}

func bodyOf(r reconcile.Report) Drift {
	body := Drift{Items: make([]Difference, len(r.Items)), Checked: r.Checked, More: r.More, TookMS: r.Took.Milliseconds()}
	for i, item := range r.Items {
		body.Items[i] = Difference{
			Tenant: item.Tenant, Kind: string(item.Kind), Detail: item.Detail, SubscriptionID: item.SubscriptionID,
			Plan: item.Plan, LivePlan: item.LivePlan, Healed: item.Healed, NeedsPerson: item.NeedsPerson, FirstSeen: item.FirstSeen,
		}
	}
	return body
}

// unavailable answers 503 when the database or Stripe is away, so that callers try again, and hides everything else.
func unavailable(err error) error {
	if _, waits := fault.Delay(err); waits {
		return problem.New(http.StatusServiceUnavailable, problem.CodeUnavailable, "Stripe does not answer as it should; try again")
	}
	if pg.IsUnavailable(err) {
		return problem.New(http.StatusServiceUnavailable, problem.CodeUnavailable, "the service cannot reach its database; try again")
	}
	return err
}
