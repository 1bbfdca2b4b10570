// Package reconcile holds what Stripe has live against what is agreed with each tenant. It tells each difference once, and
// sets right what can be set right without charging anybody.
//
// A difference counts only after a second look at that one tenant: whatever was read in a long list may have changed
// since. Nothing is compared while an operation or a work of billing's is under way.
package reconcile

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"tenure/services/billing/internal/app"
	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/store"
	"tenure/shared/plans"
)

// How much one pass does. Where thousands of tenants differ, a setting is wrong and not the tenants: the key of another
// account, or a plan file that Stripe's prices do not fit. Then healing each of them would be a disaster.
const (
	maxLooks = 1000 // at what was open before, and as many again
	maxHeals = 100
)

// Stripe is what a survey needs of Stripe.
type Stripe interface {
	// AllSubscriptions walks through every subscription that has not ended. An error comes once, as the last.
	AllSubscriptions(ctx context.Context) iter.Seq2[plan.Subscription, error]
}

// Reconciler is safe for concurrent use.
type Reconciler struct {
	store     *store.Store
	stripe    Stripe
	app       *app.App
	catalogue plans.Catalogue
	turn      chan struct{} // one pass at a time in this process: each asks Stripe for everything
}

// New returns a Reconciler.
func New(s *store.Store, stripe Stripe, a *app.App, catalogue plans.Catalogue) *Reconciler {
	return &Reconciler{store: s, stripe: stripe, app: a, catalogue: catalogue, turn: make(chan struct{}, 1)}
}

// Item is a difference that a pass has found.
type Item struct {
	Tenant string
	plan.Difference
	Healed bool
	// NeedsPerson: billing will not, or could not, set it right.
	NeedsPerson bool
	FirstSeen   time.Time
}

// Report is what a pass comes to.
type Report struct {
	Items []Item
	// Checked is how many lives of tenants were compared.
	Checked int
	// More: there is more that differs than one pass looks at.
	More bool
	Took time.Duration
}

// Look compares everything now. It stores nothing, tells nothing and heals nothing.
func (r *Reconciler) Look(ctx context.Context) (Report, error) { return r.now(ctx, r.show) }

// Heal compares everything now, tells what is new and heals what it may.
func (r *Reconciler) Heal(ctx context.Context) (Report, error) {
	p := &pass{Reconciler: r, heals: maxHeals}
	return r.now(ctx, p.examine)
}

// now is a pass on demand. A person who asks has often just changed something: hence no time to settle.
func (r *Reconciler) now(ctx context.Context, examine func(context.Context, store.LifeID) ([]Item, error)) (Report, error) {
	began := time.Now()
	if err := r.enter(ctx); err != nil {
		return Report{}, err
	}
	defer r.leave()
	ids, report, err := r.suspects(ctx, 0)
	if err != nil {
		return Report{}, err
	}
	for _, id := range ids {
		items, err := examine(ctx, id)
		if err != nil {
			return Report{}, err
		}
		report.Items = append(report.Items, items...)
	}
	report.Took = time.Since(began)
	return report, nil
}

func (r *Reconciler) enter(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *Reconciler) leave() { <-r.turn }

// suspects is the first look: at everybody, in long lists. It finds the lives that differ, and those that did at the last
// look and have to be closed.
func (r *Reconciler) suspects(ctx context.Context, settle time.Duration) (ids []store.LifeID, report Report, err error) {
	open, err := r.store.AllOpenDrift(ctx, maxLooks)
	if err != nil {
		return nil, report, err
	}
	seen := map[store.LifeID]bool{}
	add := func(id store.LifeID) {
		switch {
		case seen[id]:
		case len(ids) == 2*maxLooks:
			report.More = true
		default:
			seen[id], ids = true, append(ids, id)
		}
	}
	for _, d := range open {
		add(d.LifeID)
	}
	err = r.store.Survey(ctx, r.stripe.AllSubscriptions(ctx), func(id store.LifeID, l plan.Life) error {
		report.Checked++
		if l.Settled(settle) && len(plan.Drift(r.catalogue, l)) > 0 {
			add(id)
		}
		return nil
	})
	return ids, report, err
}

// look is the second look: at one life. It is false when the life is in motion.
func (r *Reconciler) look(ctx context.Context, id store.LifeID, settle time.Duration) (plan.Life, store.Account, bool, error) {
	before, account, err := r.store.Life(ctx, id)
	if err != nil || !before.Settled(settle) {
		return plan.Life{}, account, false, err
	}
	live, err := r.app.Look(ctx, account)
	if err != nil {
		return plan.Life{}, account, false, err
	}
	after, same, err := r.store.Life(ctx, id)
	if err != nil || !after.Settled(settle) || after.Agreement != before.Agreement || !account.SameAs(same) {
		return plan.Life{}, account, false, err
	}
	if id.Generation == 0 && account.Tenant != "" {
		return plan.Life{}, account, true, nil // it is somebody's by now, and compared as such
	}
	after.Live = live
	return after, account, true, nil
}

// show is what Look does with a suspect.
func (r *Reconciler) show(ctx context.Context, id store.LifeID) ([]Item, error) {
	life, _, ok, err := r.look(ctx, id, 0)
	if err != nil || !ok {
		return nil, err
	}
	open, err := r.store.OpenDrift(ctx, id)
	if err != nil {
		return nil, err
	}
	var items []Item
	for _, d := range plan.Drift(r.catalogue, life) {
		item := Item{Tenant: id.Tenant, Difference: d, NeedsPerson: !d.Kind.Heals(), FirstSeen: time.Now().UTC()}
		if i := slices.IndexFunc(open, func(o store.OpenDrift) bool { return o.Is(d) }); i >= 0 {
			item.FirstSeen = open[i].FirstSeen
		}
		items = append(items, item)
	}
	return items, nil
}

// moved reports whether a cure was overtaken: the next pass looks again.
func moved(err error) bool { return errors.Is(err, app.ErrMoved) || errors.Is(err, store.ErrStale) }
