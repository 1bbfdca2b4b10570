package plan

import "tenure/shared/plans"

// What is agreed for the period's end is left to Stripe, whose clock decides what the next period costs.

// Leave lists what lets the main subscription (nil: none) run out with its period.
func Leave(main *Subscription) []Change {
	switch {
	case main == nil:
		return nil
	case main.ScheduleID != "":
		return []Change{Unschedule, Retire}
	}
	return []Change{Retire}
}

// stay takes back whatever the main subscription would do by itself when its period ends.
func stay(main *Subscription) (out []Change) {
	if main.ScheduleID != "" {
		out = append(out, Unschedule)
	}
	if main.CancelAtPeriodEnd {
		out = append(out, Resume)
	}
	return out
}

// AtPeriodEnd lists what has the main subscription go over to the lower plan called to when its period ends. Without
// one there is nothing that could go over.
func AtPeriodEnd(catalogue plans.Catalogue, main *Subscription, to string) []Change {
	target, ok := catalogue.Find(to)
	switch {
	case !ok, main == nil:
		return nil
	case target.Free():
		return Leave(main)
	case main.Plan == to:
		return stay(main)
	case main.CancelAtPeriodEnd:
		return []Change{Resume, Schedule}
	}
	return []Change{Schedule}
}

// CallOff lists what keeps a tenant on the plan called stays, when the change that was agreed for the period's end is
// dropped. If Stripe has made the change already, the tenant owes the difference: it goes on to use what it had. With an
// empty plan nothing is put right but what was still to come.
func CallOff(catalogue plans.Catalogue, main *Subscription, b Belief, stays string) []Change {
	return keep(catalogue, main, b, stays, Reinstate, Reinstate)
}

// RollBack is CallOff for a change that failed, which is nobody's fault but ours: nothing is charged for the period that
// has begun.
func RollBack(catalogue plans.Catalogue, main *Subscription, b Belief, stays string) []Change {
	return keep(catalogue, main, b, stays, Swap, Subscribe)
}

// keep moves a subscription that is below the plan up, or begins one anew when billing let the old one go. One that
// vanished otherwise is a default, which a person has to mend.
func keep(catalogue plans.Catalogue, main *Subscription, b Belief, stays string, up, anew Change) []Change {
	paid, known := catalogue.Find(stays)
	switch {
	case main != nil && known && catalogue.Rank(main.Plan) < catalogue.Rank(stays):
		return append(stay(main), up)
	case main != nil:
		return stay(main)
	case known && !paid.Free() && b.Retired:
		return []Change{anew}
	}
	return nil
}
