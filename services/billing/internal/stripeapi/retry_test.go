package stripeapi_test

import (
	"errors"
	"testing"
	"time"

	"tenure/services/billing/internal/app"
	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/stripeapi"
)

// write is a call that changes something at Stripe, from a state in which it has something to do.
type write struct {
	name  string
	path  string // whose answer is lost
	begin func(*sim) plan.Subscription
	do    func(*sim, string, plan.Subscription) error
	// done is the caller's look at what is live, for calls that do not look by themselves.
	done func(*sim, plan.Subscription) bool
}

var writes = []write{
	{
		name: "subscribe", path: "/v1/subscriptions", begin: nothing, done: alive,
		do: func(s *sim, key string, sub plan.Subscription) error {
			_, err := s.Subscribe(s.t.Context(), key, app.NewSubscription{CustomerID: sub.CustomerID, Tenant: "acme", Plan: "starter"})
			return err
		},
	},
	{name: "raise", path: "/v1/subscriptions", begin: on("starter"), do: changing(plan.Raise, "professional"), done: isOn("professional")},
	{name: "lower", path: "/v1/subscriptions", begin: on("professional"), do: changing(plan.Lower, "starter"), done: isOn("starter")},
	{name: "swap", path: "/v1/subscriptions", begin: on("professional"), do: changing(plan.Swap, "starter"), done: isOn("starter")},
	{name: "reinstate", path: "/v1/subscriptions", begin: on("starter"), do: changing(plan.Reinstate, "professional"), done: isOn("professional")},
	{
		name: "retire", path: "/v1/subscriptions", begin: on("starter"),
		do: func(s *sim, key string, sub plan.Subscription) error {
			_, err := s.CancelAtPeriodEnd(s.t.Context(), key, sub.ID, true)
			return err
		},
	},
	{name: "schedule, made", path: "/v1/subscription_schedules", begin: on("professional"), do: scheduling},
	{name: "schedule, with phases", path: "/v1/subscription_schedules/", begin: on("professional"), do: scheduling},
	{
		name: "unschedule", path: "/v1/subscription_schedules/",
		begin: func(s *sim) plan.Subscription {
			return got(s.Schedule(s.t.Context(), "schedule", s.subscribed("professional"), "starter"))(s.t)
		},
		do: func(s *sim, key string, sub plan.Subscription) error {
			_, err := s.Unschedule(s.t.Context(), key, sub)
			return err
		},
	},
	{
		name: "set usage", path: "/v1/subscription_items/", begin: on("starter"),
		do: func(s *sim, key string, sub plan.Subscription) error {
			return s.SetUsage(s.t.Context(), key, sub.Usage["queries"], 20_000, time.Time{})
		},
	},
	{
		name: "add a usage item", path: "/v1/subscription_items",
		begin: func(s *sim) plan.Subscription {
			newer := s.Client
			defer func() { s.Client = newer }()
			s.Client = s.with(stripeapi.Config{Catalogue: catalogue})
			return s.subscribed("starter")
		},
		do: func(s *sim, key string, sub plan.Subscription) error {
			_, err := s.AddUsageItem(s.t.Context(), key, sub.ID, "queries")
			return err
		},
	},
	{name: "give back", path: "/v1/refunds", begin: on("starter"), do: givingBack},
	{
		name: "give credit back", path: "/v1/customers/", do: givingBack,
		begin: func(s *sim) plan.Subscription {
			sub := s.subscribed("professional")
			got(s.ChangePlan(s.t.Context(), "lower", sub, plan.Lower, "starter"))(s.t)
			return got(s.ChangePlan(s.t.Context(), "raise", sub, plan.Raise, "professional"))(s.t)
		},
	},
}

func nothing(s *sim) plan.Subscription { return plan.Subscription{CustomerID: s.customer()} }

func on(name string) func(*sim) plan.Subscription {
	return func(s *sim) plan.Subscription { return s.subscribed(name) }
}

func alive(s *sim, sub plan.Subscription) bool {
	return len(got(s.Subscriptions(s.t.Context(), sub.CustomerID))(s.t)) > 0
}

func isOn(name string) func(*sim, plan.Subscription) bool {
	return func(s *sim, sub plan.Subscription) bool { return s.live(sub.CustomerID).Plan == name }
}

func changing(how plan.Change, to string) func(*sim, string, plan.Subscription) error {
	return func(s *sim, key string, sub plan.Subscription) error {
		_, err := s.ChangePlan(s.t.Context(), key, sub, how, to)
		return err
	}
}

func scheduling(s *sim, key string, sub plan.Subscription) error {
	_, err := s.Schedule(s.t.Context(), key, sub, "starter")
	return err
}

func givingBack(s *sim, key string, sub plan.Subscription) error {
	for _, i := range got(s.Invoices(s.t.Context(), sub.ID, ""))(s.t) {
		if !i.MovesMoney() {
			continue
		}
		if err := s.GiveBack(s.t.Context(), key+"/"+i.ID, i); err != nil {
			return err
		}
	}
	return nil
}

// position is what a tenant has: twice the same effect would show in it.
type position struct {
	net, credit             int64
	subscriptions, invoices int
	plan, ahead             string
	leaving                 bool
	items                   int
	usage                   int64
}

func (s *sim) position(customerID string) position {
	s.t.Helper()
	p := position{net: s.net(), credit: s.credit(customerID)}
	for _, sub := range got(s.Subscriptions(s.t.Context(), customerID))(s.t) {
		p.subscriptions++
		p.invoices += len(got(s.Invoices(s.t.Context(), sub.ID, ""))(s.t))
		p.plan, p.ahead, p.leaving, p.items = sub.Plan, sub.ScheduledPlan, sub.CancelAtPeriodEnd, len(sub.Usage)
		if item := sub.Usage["queries"]; item != "" {
			p.usage = got(s.UsagePeriods(s.t.Context(), item))(s.t)[0].Total
		}
	}
	return p
}

// The effect without the answer, then the same call with the same key: it is as if nothing had been lost.
func TestALostAnswerIsNoSecondEffect(t *testing.T) {
	for _, w := range writes {
		t.Run(w.name, func(t *testing.T) {
			run := func(lose bool) (position, int) {
				s := simulate(t)
				sub := w.begin(s)
				if lose {
					s.fault(w.path, "drop_after_apply")
					if err := w.do(s, "k", sub); !waits(err) || errors.Is(err, app.ErrKeySpent) {
						t.Fatalf("a lost answer comes as %v", err)
					}
				}
				if err := w.do(s, "k", sub); err != nil {
					t.Fatal(err)
				}
				return s.position(sub.CustomerID), s.applied()
			}
			want, calls := run(false)
			again, callsAgain := run(true)
			equal(t, "position", again, want)
			equal(t, "calls with an effect", callsAgain, calls)
		})
	}
}

// The effect without the answer, and no retry before Stripe has forgotten the key: what is live is looked at first.
func TestAnExpiredKeyIsNoSecondEffect(t *testing.T) {
	for _, w := range writes {
		t.Run(w.name, func(t *testing.T) {
			s := simulate(t)
			sub := w.begin(s)
			s.fault(w.path, "drop_after_apply")
			if err := w.do(s, "k", sub); !waits(err) {
				t.Fatalf("a lost answer comes as %v", err)
			}
			s.advance(25 * time.Hour)
			if w.name == "schedule, made" || w.name == "give credit back" {
				// More than one call: the rest is still to be done.
				if err := w.do(s, "k", sub); err != nil {
					t.Fatal(err)
				}
				s.advance(25 * time.Hour)
			}
			want := s.position(sub.CustomerID)
			if w.done == nil || !w.done(s, sub) {
				if err := w.do(s, "k", sub); err != nil {
					t.Fatal(err)
				}
			}
			equal(t, "position", s.position(sub.CustomerID), want)
		})
	}
}

// A failure that Stripe keeps is repeated for its key and not for another one.
func TestAKeptFailureNeedsAnotherKey(t *testing.T) {
	for _, w := range writes {
		t.Run(w.name, func(t *testing.T) {
			s := simulate(t)
			sub := w.begin(s)
			s.fault(w.path, "500")
			for _, err := range []error{w.do(s, "k", sub), w.do(s, "k", sub)} {
				if !keySpent(err) {
					t.Errorf("got %v, want that the key is spent", err)
				}
			}
			if err := w.do(s, "k2", sub); err != nil {
				t.Error(err)
			}
		})
	}
}
