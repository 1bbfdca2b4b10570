package plan

import (
	"fmt"
	"strings"
	"time"

	"tenure/shared/events"
	"tenure/shared/plans"
)

// Kind names a difference between what is agreed and what is live.
type Kind string

// The kinds. Those that Heals reports are set right by billing itself; of the others a person has to find out which side
// is right, since mending them may charge somebody.
const (
	// UnknownCustomer: a subscription names a tenant, at a customer that is no tenant's.
	UnknownCustomer Kind = "unknown_customer"
	// MissedNews: what is live was not told yet.
	MissedNews Kind = "missed_news"
	// MissingSubscription: nothing is live that the tenant would pay for.
	MissingSubscription Kind = "missing_subscription"
	// ExtraSubscription: the tenant is charged for a plan once more than it should be.
	ExtraSubscription Kind = "extra_subscription"
	// PlanDiffers: the tenant is charged for another plan than it is on.
	PlanDiffers Kind = "plan_differs"
	// ChargedAfterEnd: the tenant's life is over, and something of it is still charged.
	ChargedAfterEnd Kind = "charged_after_end"
	// NotLeaving: the tenant is leaving, and its subscription would be renewed.
	NotLeaving Kind = "not_leaving"
	// NotStaying: the tenant stays, and its subscription would not be renewed.
	NotStaying Kind = "not_staying"
	// LeftSchedule: Stripe goes over to a plan that nobody asked for.
	LeftSchedule Kind = "left_schedule"
	// NotScheduled: Stripe does not know of the change that is agreed for the period's end.
	NotScheduled Kind = "not_scheduled"
)

// Heals reports whether billing sets it right by itself: it can, and nobody pays more afterwards than is agreed.
func (k Kind) Heals() bool {
	return k == MissedNews || k == ChargedAfterEnd || k == NotLeaving || k == LeftSchedule
}

// Cure lists what sets it right at Stripe. For MissedNews that is nothing: looking at the customer tells what is live.
func (k Kind) Cure(main *Subscription) []Change {
	switch k {
	case ChargedAfterEnd:
		return []Change{End}
	case NotLeaving:
		return Leave(main)
	case LeftSchedule:
		return []Change{Unschedule}
	}
	return nil
}

// Difference is one thing in which Stripe and the log do not agree.
type Difference struct {
	Kind Kind
	// Detail is for people.
	Detail string
	// SubscriptionID is empty when it is about one that is not there.
	SubscriptionID string
	Plan, LivePlan string
}

// Is reports whether two looks have found the same difference, in whatever words.
func (d Difference) Is(other Difference) bool {
	return d.Kind == other.Kind && d.SubscriptionID == other.SubscriptionID
}

// Life is one life of a tenant as both sides have it; without a tenant in its Agreement, a customer that is nobody's.
type Life struct {
	Agreement Agreement
	// Age is how long ago the agreement changed.
	Age    time.Duration
	Belief Belief
	// Busy: billing is at work at Stripe for this tenant.
	Busy bool
	// Live is all that Stripe has of the customer.
	Live []Subscription
}

// Settled reports whether both sides can be compared: nothing is under way, and the agreement has stood for a while.
func (l Life) Settled(least time.Duration) bool {
	return l.Agreement.Tenant == "" || !l.Busy && l.Agreement.Operation == "" && l.Age >= least
}

// Drift lists the differences of a life that is settled.
func Drift(catalogue plans.Catalogue, l Life) []Difference {
	switch a := l.Agreement; {
	case a.Tenant == "":
		return unknown(l.Live)
	case a.State == Ended:
		return charged(a, l.Live)
	case a.Plan == "": // how this life began is not known: it can only be guessed what is right
		return nil
	}
	next, facts := Derive(l.Live, l.Belief)
	out := missed(facts)
	if l.Agreement.State == Joining {
		return out // nothing is owed yet
	}
	main := Main(l.Live)
	switch {
	case main == nil && l.owes(catalogue) && next.Standing != InDefault: // a default is known, and dealt with
		return append(out, Difference{
			Kind: MissingSubscription, Plan: l.Agreement.Plan,
			Detail: fmt.Sprintf("the tenant is on %s, and nothing is charged", l.Agreement.Plan),
		})
	case main == nil:
		return out
	case l.Agreement.State == Leaving && !main.CancelAtPeriodEnd:
		out = append(out, l.of(NotLeaving, main, "the tenant is leaving, and %s would be renewed", main.ID))
	case l.Agreement.State == Live && !l.free(catalogue):
		out = append(out, l.compare(catalogue, main)...)
	}
	return append(out, l.extra(catalogue, main)...)
}

func (l Life) free(catalogue plans.Catalogue) bool {
	p, known := catalogue.Find(l.Agreement.Plan)
	return known && p.Free()
}

// owes reports whether a subscription should be there: not for a tenant that leaves, nor for one that pays nothing from
// the end of the period on, since Stripe's clock may be ahead of the lifecycle's.
func (l Life) owes(catalogue plans.Catalogue) bool {
	return l.Agreement.State == Live && !l.free(catalogue) && !l.leavesForFree(catalogue)
}

func (l Life) leavesForFree(catalogue plans.Catalogue) bool {
	next, known := catalogue.Find(l.Agreement.PendingPlan)
	return known && next.Free()
}

// compare holds the main subscription against the agreement of a tenant that pays.
func (l Life) compare(catalogue plans.Catalogue, main *Subscription) (out []Difference) {
	a := l.Agreement
	if main.Plan != a.Plan && main.Plan != a.PendingPlan {
		out = append(out, l.of(PlanDiffers, main, "the tenant is on %s, and %s charges for %s", a.Plan, main.ID, main.Plan))
	}
	if to := main.Pending(); to != "" && to != a.PendingPlan {
		out = append(out, l.of(LeftSchedule, main, "%s goes over to %s when its period ends, which nobody asked for", main.ID, to))
	}
	free := l.leavesForFree(catalogue)
	switch scheduled := main.Pending() == a.PendingPlan || main.Plan == a.PendingPlan; {
	case main.CancelAtPeriodEnd && !free:
		out = append(out, l.of(NotStaying, main, "the tenant stays, and %s ends with its period", main.ID))
	case free && !main.CancelAtPeriodEnd, !free && a.PendingPlan != "" && !scheduled:
		out = append(out, l.of(NotScheduled, main, "the tenant goes down to %s when the period ends, and %s would be renewed as it is", a.PendingPlan, main.ID))
	}
	return out
}

// extra finds what charges for a plan beside the main subscription; on a free plan that one is too much itself. What runs
// out by itself, or was never paid for, is no matter.
func (l Life) extra(catalogue plans.Catalogue, main *Subscription) (out []Difference) {
	for _, s := range l.Live {
		due := s.ID == main.ID && (l.Agreement.State == Leaving || !l.free(catalogue))
		if due || s.Plan == "" || !s.live() || s.Status == Incomplete || s.CancelAtPeriodEnd {
			continue
		}
		out = append(out, l.of(ExtraSubscription, &s, "the tenant is on %s, and %s charges for %s too", l.Agreement.Plan, s.ID, s.Plan))
	}
	return out
}

func (l Life) of(k Kind, s *Subscription, format string, args ...any) Difference {
	return Difference{
		Kind: k, Detail: fmt.Sprintf(format, args...), SubscriptionID: s.ID, Plan: l.Agreement.Plan, LivePlan: s.Plan,
	}
}

func (s Subscription) live() bool { return s.Status != Canceled && s.Status != IncompleteExpired }

func missed(facts []events.Payload) []Difference {
	if len(facts) == 0 {
		return nil
	}
	names := make([]string, len(facts))
	for i, f := range facts {
		_, names[i] = events.SplitType(f.EventType())
	}
	return []Difference{{Kind: MissedNews, Detail: "not told yet: " + strings.Join(names, ", ")}}
}

func charged(a Agreement, all []Subscription) (out []Difference) {
	for _, s := range all {
		if s.live() {
			out = append(out, Difference{
				Kind: ChargedAfterEnd, SubscriptionID: s.ID, LivePlan: s.Plan,
				Detail: fmt.Sprintf("life %d of the tenant is over, and %s is %s", a.Generation, s.ID, s.Status),
			})
		}
	}
	return out
}

// unknown passes over what is none of Tenure's: an account at Stripe may serve other programs as well.
func unknown(all []Subscription) (out []Difference) {
	for _, s := range all {
		if s.live() && events.ValidTenantID(s.Tenant) {
			out = append(out, Difference{
				Kind: UnknownCustomer, SubscriptionID: s.ID, LivePlan: s.Plan,
				Detail: fmt.Sprintf("%s names tenant %s, and its customer %s is no tenant's", s.ID, s.Tenant, s.CustomerID),
			})
		}
	}
	return out
}
