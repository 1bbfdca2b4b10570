package stripesim

import (
	"maps"
	"slices"

	"tenure/services/devstack/stripesim/store"
)

// phaseEnds is a task: the next phase begins, or the schedule is over. A phase that
// ends with the billing period is left to periodEnds, which must charge the new
// phase's price and not the old one's.
func (t *tx) phaseEnds(id string) error {
	s, err := store.Get[schedule](t.Tx, id)
	if err != nil || s.ended() {
		return err
	}
	sub, err := store.Get[subscription](t.Tx, *s.Subscription)
	if err != nil || sub.CurrentPeriodEnd <= t.now {
		return err
	}
	_, err = t.advance(s, sub)
	return err
}

// phaseBeforeRenewal enters the phase that begins with the new period. It reports
// whether the subscription has ended instead.
func (t *tx) phaseBeforeRenewal(sub *subscription) (ended bool, err error) {
	if sub.Schedule == nil {
		return false, nil
	}
	s, err := store.Get[schedule](t.Tx, *sub.Schedule)
	if err != nil || s.ended() {
		return false, err
	}
	after, err := t.advance(s, sub)
	if err != nil {
		return false, err
	}
	*sub = *after
	return sub.ended(), nil
}

// advance brings a schedule to the present and answers its subscription as it is then.
func (t *tx) advance(s *schedule, sub *subscription) (*subscription, error) {
	if s.CurrentPhase != nil && s.CurrentPhase.EndDate > t.now {
		return sub, nil
	}
	p := s.current(t.now)
	if p == nil {
		return t.complete(s, sub)
	}
	s.show(t.now)
	if err := updated(t, s, "subscription_schedule.updated"); err != nil {
		return nil, err
	}
	if err := t.enterPhase(sub, p, p.ProrationBehavior); err != nil {
		return nil, err
	}
	return store.Get[subscription](t.Tx, sub.ID)
}

// complete ends a schedule after its last phase.
func (t *tx) complete(s *schedule, sub *subscription) (*subscription, error) {
	if s.EndBehavior == "release" {
		if err := t.release(s); err != nil {
			return nil, err
		}
		return store.Get[subscription](t.Tx, sub.ID)
	}
	s.Status, s.CompletedAt = scheduleCompleted, &t.now
	s.show(t.now)
	if err := updated(t, s, "subscription_schedule.completed"); err != nil {
		return nil, err
	}
	sub.Schedule = nil
	return sub, t.cancelNow(sub, cancelOptions{invoiceNow: true})
}

// enterPhase gives the subscription a phase's items. At the end of a billing
// period there is no time left to prorate: the renewal charges the new items.
func (t *tx) enterPhase(sub *subscription, p *phase, proration string) error {
	after := sub.copy()
	if len(p.Metadata) > 0 {
		after.Metadata = maps.Clone(p.Metadata)
	}
	if err := t.phaseItems(after, p); err != nil {
		return err
	}
	if err := t.phaseDiscount(after, p); err != nil {
		return err
	}
	if sub.CurrentPeriodEnd <= t.now {
		if unit, count := sub.interval(); !after.every(unit, count) {
			after.BillingCycleAnchor = sub.CurrentPeriodEnd
		}
		return updated(t, after, "customer.subscription.updated")
	}
	if proration == "" {
		proration = prorateCreate
	}
	_, err := t.change(&change{before: sub, after: after, at: t.now, proration: proration, behavior: allowIncomplete})
	return err
}

func (s *subscription) every(unit string, count int64) bool {
	u, c := s.interval()
	return u == unit && c == count
}

// phaseItems keeps the items whose price the phase has, so that what was used of
// them still counts, turns the others into what the phase has instead, and drops
// what is left.
func (t *tx) phaseItems(sub *subscription, p *phase) error {
	old := sub.Items.Data
	kept := make([]*subscriptionItem, len(p.Items))
	for i, of := range p.Items {
		kept[i] = takeItem(&old, func(item *subscriptionItem) bool { return item.Price.ID == of.Price })
	}
	for i, of := range p.Items {
		chosen, err := refer[price](t, of.Price, "price")
		if err != nil {
			return err
		}
		if kept[i] == nil {
			kept[i] = takeItem(&old, func(item *subscriptionItem) bool { return item.Price.metered() == chosen.metered() })
		}
		if kept[i] == nil {
			kept[i] = &subscriptionItem{
				ID: newID("si"), Object: "subscription_item", Created: t.now,
				Metadata: map[string]string{}, Subscription: sub.ID,
			}
		}
		kept[i].Quantity = of.Quantity
		kept[i].setPrice(chosen)
		if len(of.Metadata) > 0 {
			kept[i].Metadata = of.Metadata
		}
	}
	sub.Items.Data = kept
	return checkItems(sub)
}

// takeItem removes and answers the first item that fits, nil when there is none.
func takeItem(items *[]*subscriptionItem, fits func(*subscriptionItem) bool) *subscriptionItem {
	found := slices.IndexFunc(*items, fits)
	if found < 0 {
		return nil
	}
	item := (*items)[found]
	*items = slices.Concat((*items)[:found], (*items)[found+1:])
	return item
}

// phaseDiscount gives the subscription the phase's coupon, or takes its own away.
func (t *tx) phaseDiscount(sub *subscription, p *phase) error {
	switch {
	case p.Coupon == nil:
		sub.Discount = nil
	case sub.Discount == nil || sub.Discount.Coupon.ID != *p.Coupon:
		redeemed, err := refer[coupon](t, *p.Coupon, "coupon")
		if err != nil {
			return err
		}
		sub.Discount, err = t.redeem(redeemed, nil, sub.Customer, sub.ID)
		return err
	}
	return nil
}

// scheduleNotice is how long before its end a schedule is announced to expire.
const scheduleNotice = 7 * day

// scheduleExpires is a task: seven days are left.
func (t *tx) scheduleExpires(id string) error {
	s, err := store.Get[schedule](t.Tx, id)
	if err != nil || s.ended() || s.Phases[len(s.Phases)-1].EndDate-scheduleNotice > t.now {
		return err
	}
	return t.emit("subscription_schedule.expiring", s, nil)
}
