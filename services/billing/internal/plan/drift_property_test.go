package plan_test

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"tenure/services/billing/internal/plan"
	"tenure/shared/events"
	"tenure/shared/plans"
)

// history is one tenant's, as the lifecycle tells it, billing answers it and Stripe's clock goes on.
type history struct {
	*testing.T
	random    *rand.Rand
	catalogue plans.Catalogue
	agreed    plan.Agreement
	belief    plan.Belief
	live      []plan.Subscription
	made      int
	told      []string
}

func (h *history) log(p events.Payload) {
	h.told = append(h.told, p.EventType())
	h.agreed = plan.Agree(h.agreed, p)
}

func (h *history) main() *plan.Subscription { return plan.Main(h.live) }

// work does the changes as Stripe would, and believes what is live then.
func (h *history) work(changes []plan.Change, to string) {
	for _, change := range changes {
		h.apply(change, to)
	}
	h.belief, _ = plan.Derive(h.live, h.belief.After(changes))
}

func (h *history) apply(change plan.Change, to string) {
	main := h.main()
	if main == nil {
		if change == plan.Subscribe || change == plan.Reinstate {
			h.made++
			h.live = append(h.live, plan.Subscription{ID: "sub_" + strconv.Itoa(h.made), Plan: to, Status: plan.Active})
		}
		return
	}
	h.update(main.ID, func(s *plan.Subscription) {
		switch change {
		case plan.Raise, plan.Lower, plan.Swap, plan.Reinstate:
			s.Plan = to
		case plan.Schedule:
			s.ScheduleID, s.ScheduledPlan = "sched", to
		case plan.Unschedule:
			s.ScheduleID, s.ScheduledPlan = "", ""
		case plan.Retire:
			s.CancelAtPeriodEnd = true
		case plan.Resume:
			s.CancelAtPeriodEnd = false
		case plan.End:
			s.Status = plan.Canceled
		}
	})
}

func (h *history) update(id string, change func(*plan.Subscription)) {
	for i := range h.live {
		if h.live[i].ID == id {
			change(&h.live[i])
		}
	}
}

func (h *history) free() bool {
	p, _ := h.catalogue.Find(h.agreed.Plan)
	return p.Free()
}

// other is a plan so much higher or lower; empty when there is none.
func (h *history) other(by int) string {
	if i := h.catalogue.Rank(h.agreed.Plan) + by; i >= 0 && i < len(h.catalogue) {
		return h.catalogue[i].Name
	}
	return ""
}

func (h *history) callOff() {
	if to := h.agreed.PendingPlan; to != "" {
		h.log(&events.DowngradeCancelled{Plan: to})
		h.work(plan.CallOff(h.catalogue, h.main(), h.belief, h.agreed.Plan), h.agreed.Plan)
	}
}

// begun checks that nothing is compared while an operation runs.
func (h *history) begun(started events.Payload) {
	h.log(started)
	if (plan.Life{Agreement: h.agreed}).Settled(0) {
		h.Fatalf("%v: compared in the middle of an operation", h.told)
	}
}

// operate changes the plan to another, or tries to.
func (h *history) operate(started events.Payload, to string, completed, rolledBack events.Payload) {
	h.begun(started)
	from := h.agreed.Plan
	changes := plan.Changes(h.catalogue, h.main(), to)
	h.work(changes, to)
	if h.random.IntN(3) == 0 {
		h.work(plan.Undo(changes), from)
		h.log(rolledBack)
		if _, down := rolledBack.(*events.DowngradeRolledBack); down {
			h.work(plan.RollBack(h.catalogue, h.main(), h.belief, from), from)
		}
		return
	}
	h.log(completed)
	if h.free() {
		h.work([]plan.Change{plan.End}, "")
	}
}

func (h *history) upgrade() {
	if to := h.other(1); to != "" && h.main().Paid() {
		h.callOff()
		h.operate(&events.UpgradeStarted{Operation: operation("op")}, to,
			&events.UpgradeCompleted{Plan: to}, &events.UpgradeRolledBack{Plan: h.agreed.Plan})
	}
}

func (h *history) downgrade(to string) {
	h.operate(&events.DowngradeStarted{Operation: operation("op")}, to,
		&events.DowngradeCompleted{Plan: to}, &events.DowngradeRolledBack{Plan: h.agreed.Plan})
}

func (h *history) schedule() {
	if to := h.other(-1 - h.random.IntN(2)); to != "" && h.main().Paid() {
		h.callOff()
		h.log(&events.DowngradeScheduled{Plan: to})
		h.work(plan.AtPeriodEnd(h.catalogue, h.main(), to), to)
	}
}

// renew is the end of a period: Stripe goes first, the lifecycle follows.
func (h *history) renew() {
	h.update(h.main().ID, func(s *plan.Subscription) {
		switch {
		case s.CancelAtPeriodEnd:
			s.Status = plan.Canceled
		case s.ScheduledPlan != "":
			s.Plan, s.ScheduledPlan, s.ScheduleID = s.ScheduledPlan, "", ""
		}
	})
	h.work(nil, "")
	h.check()
	switch to := h.agreed.PendingPlan; {
	case to == "":
	case h.random.IntN(4) == 0: // it does not fit any more
		h.callOff()
	default:
		h.downgrade(to)
	}
}

func (h *history) pay() {
	h.update(h.main().ID, func(s *plan.Subscription) {
		if s.Status == plan.Active {
			s.Status = plan.PastDue
		} else {
			s.Status = plan.Active
		}
	})
	h.work(nil, "")
}

func (h *history) leave() {
	h.callOff()
	h.log(&events.DeletionRequested{})
	h.work(plan.Leave(h.main()), "")
	h.check()
	if h.main() != nil && h.random.IntN(2) == 0 {
		h.renew()
	}
	h.check()
	if h.random.IntN(2) == 0 {
		h.comeBack()
		return
	}
	h.begun(&events.PurgeStarted{Operation: operation("op")})
	h.work([]plan.Change{plan.End}, "")
	h.log(&events.TenantPurged{Generation: h.agreed.Generation})
	h.check()
	h.begin(h.agreed.Generation + 1)
}

func (h *history) comeBack() {
	h.begun(&events.ReactivationStarted{Operation: operation("op")})
	h.work(plan.Changes(h.catalogue, h.main(), h.agreed.Plan), h.agreed.Plan)
	if h.main() != nil {
		h.update(h.main().ID, func(s *plan.Subscription) { s.Status = plan.Active })
	}
	h.work(nil, "")
	h.log(&events.TenantReactivated{Plan: h.agreed.Plan})
	if h.agreed.PendingPlan != "" {
		// What was agreed for the period's end went with the subscription, or its schedule. It is drift until the change falls
		// due or is called off.
		if got := h.drift(); len(got) != 1 || got[0].Kind != plan.NotScheduled {
			h.Fatalf("after %v: %+v, want that Stripe knows of no downgrade", h.told, got)
		}
		h.callOff()
	}
}

// begin begins a life; each has a customer of its own.
func (h *history) begin(generation int64) {
	h.live, h.belief = nil, plan.Belief{}
	name := h.catalogue[h.random.IntN(len(h.catalogue))].Name
	h.log(&events.TenantRegistered{Plan: name, Generation: generation, RequiresPayment: true})
	h.work(plan.Changes(h.catalogue, nil, name), name)
	h.check()
	h.log(&events.PaymentConfirmed{})
	h.log(&events.ProvisioningStarted{Operation: operation("op")})
	h.log(&events.TenantActivated{Plan: name})
}

func (h *history) drift() []plan.Difference {
	return plan.Drift(h.catalogue, plan.Life{Agreement: h.agreed, Belief: h.belief, Live: h.live})
}

func (h *history) check() {
	if got := h.drift(); len(got) > 0 {
		h.Fatalf("after %v: %+v", h.told, got)
	}
}

// TestOwnChangesAreNoDrift: whatever the lifecycle asks for and billing does, both sides agree behind it.
func TestOwnChangesAreNoDrift(t *testing.T) {
	for seed := range uint64(500) {
		h := &history{T: t, random: rand.New(rand.NewPCG(seed, 0)), catalogue: plans.Default(), agreed: plan.Agreement{Tenant: "acme"}}
		h.begin(1)
		for range 40 {
			h.check()
			switch main := h.main(); {
			case main == nil && h.free():
				if to := h.other(1); h.random.IntN(3) > 0 {
					h.operate(&events.UpgradeStarted{Operation: operation("op")}, to,
						&events.UpgradeCompleted{Plan: to}, &events.UpgradeRolledBack{Plan: h.agreed.Plan})
				} else {
					h.leave()
				}
			case main == nil: // a default that Stripe has given up: paying begins anew
				h.comeBack()
			default:
				[]func(){h.upgrade, h.schedule, h.renew, h.pay, h.leave, h.callOff, func() {
					if to := h.other(-1); main.Paid() {
						h.callOff()
						h.downgrade(to)
					}
				}, func() {
					if main.Overdue() {
						h.apply(plan.End, "") // Stripe's own doing
						h.work(nil, "")
					}
				}}[h.random.IntN(8)]()
			}
		}
		h.check()
	}
}
