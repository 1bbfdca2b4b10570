package plan

import (
	"slices"

	"tenure/shared/plans"
)

// Change is one thing to do at Stripe. Each is done only when the live subscription does not show it yet, so that doing
// it again after a crash does nothing.
type Change string

// The changes.
const (
	// Subscribe makes a new subscription.
	Subscribe Change = "subscribe"
	// Raise moves to a dearer price and charges the difference at once; a declined card leaves the old price.
	Raise Change = "raise"
	// Lower moves to a cheaper price and credits the difference to the customer's balance.
	Lower Change = "lower"
	// Reinstate moves back up after a change at the period's end that came to nothing: as Raise, but a declined card leaves
	// an invoice to be paid, as a renewal's would.
	Reinstate Change = "reinstate"
	// Swap moves to another price and no money: in a trial, and on the way back.
	Swap Change = "swap"
	// Schedule has Stripe go over to a cheaper price when the period ends, and invoice the next period by it.
	Schedule Change = "schedule"
	// Unschedule takes Schedule back. Whatever else is to change comes after it: a schedule would overwrite it.
	Unschedule Change = "unschedule"
	// Retire lets the subscription run out with its period. It can be taken back, End cannot.
	Retire Change = "retire"
	// Resume takes Retire back.
	Resume Change = "resume"
	// Redeem puts the coupon that a tenant comes back with on its subscription: it counts from the next renewal on.
	Redeem Change = "redeem"
	// Forfeit takes Redeem back.
	Forfeit Change = "forfeit"
	// End cancels whatever the customer has, now.
	End Change = "end"
)

// MovesMoney reports whether the change makes an invoice.
func (c Change) MovesMoney() bool {
	return c == Subscribe || c == Raise || c == Lower || c == Reinstate
}

// MovesPlan reports whether the change exchanges the price at once.
func (c Change) MovesPlan() bool { return c == Raise || c == Lower || c == Reinstate || c == Swap }

// Changes lists what leads from the main subscription (nil: none) to the plan called to, in order; nothing leads to a
// plan that is not in the catalogue. Leaving for a free plan only retires the subscription: the end, which has no way
// back, waits until the whole change has succeeded.
func Changes(catalogue plans.Catalogue, main *Subscription, to string) []Change {
	target, ok := catalogue.Find(to)
	switch {
	case !ok, target.Free() && (main == nil || main.CancelAtPeriodEnd):
		return nil
	case target.Free():
		return Leave(main)
	case main == nil:
		return []Change{Subscribe}
	}
	out := stay(main)
	switch {
	case main.Plan == to:
	case main.Status == Trialing:
		out = append(out, Swap)
	case catalogue.Rank(main.Plan) < catalogue.Rank(to):
		out = append(out, Raise)
	default:
		out = append(out, Lower)
	}
	return out
}

// Return lists what leads a tenant that comes back to the plan called to, as Changes does, with a coupon unless that is
// empty. A new subscription is made with it. One that is there gets it last: one that counts once would else be spent on
// what is left of the period.
func Return(catalogue plans.Catalogue, main *Subscription, to, coupon string) []Change {
	changes := Changes(catalogue, main, to)
	if target, ok := catalogue.Find(to); coupon == "" || main == nil || !ok || target.Free() {
		return changes
	}
	return append(changes, Redeem)
}

var opposite = map[Change]Change{
	Subscribe: End, Raise: Swap, Lower: Swap, Swap: Swap, Retire: Resume, Resume: Retire, Redeem: Forfeit,
}

// Undo lists what takes changes back, the last one first. The money they moved is given back apart from it. A schedule
// that was in the way is not made again: the change that it stood for was dropped before.
func Undo(changes []Change) []Change {
	var out []Change
	for _, change := range slices.Backward(changes) {
		if back, ok := opposite[change]; ok {
			out = append(out, back)
		}
	}
	return out
}
