package reconcile

import (
	"context"
	"slices"
	"time"

	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/store"
	"tenure/shared/inbox"
)

// pass is one pass that tells and heals.
type pass struct {
	*Reconciler
	settle time.Duration
	heals  int // how many are left
}

// examine looks at one life again and concludes all that differs. Each cure changes what is live and what was told, so
// that the rest is looked at anew behind it.
func (p *pass) examine(ctx context.Context, id store.LifeID) ([]Item, error) {
	var cured []Item
	for {
		life, account, ok, err := p.look(ctx, id, p.settle)
		if err != nil || !ok {
			return cured, err
		}
		found, err := p.current(ctx, id, life)
		if err != nil {
			return cured, err
		}
		i := slices.IndexFunc(found, func(d plan.Difference) bool {
			return d.Kind.Heals() && p.heals > 0 && !slices.ContainsFunc(cured, func(c Item) bool { return c.Is(d) })
		})
		if i < 0 {
			return p.leaveToPeople(ctx, id, life.Agreement.Version, found, cured)
		}
		item, err := p.cure(ctx, id, found[i], life, account)
		if moved(err) {
			return cured, nil
		}
		if err != nil {
			return cured, err
		}
		cured = append(cured, item)
	}
}

// current lists what differs now, and closes what does no more. A cure whose outcome was never stored comes first and is
// gone on with, unless it is about an agreement that holds no more: what it did at Stripe is no news to be missed.
func (p *pass) current(ctx context.Context, id store.LifeID, life plan.Life) ([]plan.Difference, error) {
	found := plan.Drift(p.catalogue, life)
	open, err := p.store.OpenDrift(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, d := range open {
		switch {
		case slices.ContainsFunc(found, d.Is):
		case d.Kind.Heals() && !d.Told && d.Version == life.Agreement.Version:
			found = slices.Insert(found, 0, d.Difference)
		default:
			if err := p.store.CloseDrift(ctx, d); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// cure sets a difference right. It is healed when a look shows it no more.
func (p *pass) cure(ctx context.Context, id store.LifeID, d plan.Difference, life plan.Life, account store.Account) (Item, error) {
	p.heals--
	seen, err := p.store.SeeDrift(ctx, id, life.Agreement.Version, d)
	if err != nil {
		return Item{}, err
	}
	commit, err := p.app.Cure(ctx, seen, account)
	if err != nil {
		return Item{}, err
	}
	if life.Live, err = p.app.Look(ctx, account); err != nil {
		return Item{}, err
	}
	outcome := store.Healed
	if d.Kind != plan.MissedNews && slices.ContainsFunc(plan.Drift(p.catalogue, life), d.Is) { // news are told by the commit
		outcome = store.Refused
	}
	return p.conclude(ctx, seen, outcome, commit)
}

// leaveToPeople tells what nobody may set right by himself, after what was cured or could not be.
func (p *pass) leaveToPeople(ctx context.Context, id store.LifeID, version int64, found []plan.Difference, cured []Item) ([]Item, error) {
	items := cured
	for _, d := range found {
		if slices.ContainsFunc(cured, func(c Item) bool { return c.Is(d) }) {
			continue
		}
		seen, err := p.store.SeeDrift(ctx, id, version, d)
		if err != nil {
			return items, err
		}
		item, err := p.conclude(ctx, seen, store.Left, nil)
		if err != nil {
			return items, err
		}
		items = append(items, item)
	}
	return items, nil
}

func (p *pass) conclude(ctx context.Context, d store.OpenDrift, o store.Outcome, commit inbox.Commit) (Item, error) {
	err := p.store.ConcludeDrift(ctx, d, o, commit)
	healed := o == store.Healed
	return Item{Tenant: d.Tenant, Difference: d.Difference, Healed: healed, NeedsPerson: !healed, FirstSeen: d.FirstSeen}, err
}
