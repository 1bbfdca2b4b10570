package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"tenure/services/billing/internal/api"
	"tenure/services/billing/internal/app"
	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/reconcile"
	"tenure/services/billing/internal/store"
	"tenure/services/billing/migrations"
	"tenure/shared/auth"
	"tenure/shared/eventlog"
	"tenure/shared/fault"
	"tenure/shared/pg"
	"tenure/shared/plans"
	"tenure/shared/problem"
	"tenure/shared/testkit"
)

// nothing is a Stripe without subscriptions, or one that is away.
type nothing struct{ err error }

func (n nothing) AllSubscriptions(context.Context) iter.Seq2[plan.Subscription, error] {
	return func(yield func(plan.Subscription, error) bool) {
		if n.err != nil {
			yield(plan.Subscription{}, n.err)
		}
	}
}

// serve runs the routes on a database where acme should pay and does not.
func serve(t *testing.T, stripe reconcile.Stripe) http.Handler {
	t.Helper()
	url := testkit.Postgres(t)
	if err := pg.Migrate(t.Context(), url, "billing", migrations.Files); err != nil {
		t.Fatal(err)
	}
	db, err := pg.Open(t.Context(), url, "billing")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	log, err := eventlog.Open(t.Context(), db, eventlog.Config{Service: "billing"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(t.Context(), `INSERT INTO agreements (tenant, generation, plan, state, pending_plan, operation, version)
		VALUES ('acme', 1, 'starter', 'live', '', '', 1)`)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := auth.New(auth.Settings{Env: "dev"})
	if err != nil {
		t.Fatal(err)
	}
	problem.Install()
	mux := http.NewServeMux()
	routes := humago.New(mux, huma.DefaultConfig("billing", "test"))
	routes.UseMiddleware(auth.Middleware(routes, verifier))
	s := store.New(db, log)
	a := app.New(s, nil, plans.Default(), time.Now) // without a customer nobody asks Stripe
	(&api.API{Reconciler: reconcile.New(s, stripe, a, plans.Default())}).Register(routes)
	return mux
}

func call(t *testing.T, h http.Handler, method, path, token string) (int, api.Drift) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var body api.Drift
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("%s %s: %v in %s", method, path, err, w.Body)
	}
	return w.Code, body
}

var routes = map[string]string{"/v1/billing/drift": http.MethodGet, "/v1/billing/drift/heal": http.MethodPost}

func TestDriftIsAnswered(t *testing.T) {
	h := serve(t, nothing{})
	for path, method := range routes {
		status, body := call(t, h, method, path, "dev")
		if status != http.StatusOK || body.Checked != 1 || len(body.Items) != 1 {
			t.Fatalf("%s: %d %+v", path, status, body)
		}
		item := body.Items[0]
		if item.Tenant != "acme" || item.Kind != "missing_subscription" || item.Plan != "starter" || !item.NeedsPerson || item.Healed || item.FirstSeen.IsZero() {
			t.Errorf("%s: %+v", path, item)
		}
	}
}

func TestDriftIsForOperators(t *testing.T) {
	h := serve(t, nothing{})
	for path, method := range routes {
		for token, want := range map[string]int{"dev:acme": http.StatusForbidden, "nobody": http.StatusUnauthorized} {
			if status, body := call(t, h, method, path, token); status != want || body.Items != nil {
				t.Errorf("%s as %s: %d %+v", path, token, status, body)
			}
		}
	}
}

func TestStripeAwayIsNoAnswer(t *testing.T) {
	h := serve(t, nothing{fault.RetryAfter(errors.New("out of reach"), time.Second)})
	for path, method := range routes {
		if status, _ := call(t, h, method, path, "dev"); status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d", path, status)
		}
	}
}
