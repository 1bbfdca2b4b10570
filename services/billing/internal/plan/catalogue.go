// Package plan decides about money: what plans cost, which subscription counts, what has to change at Stripe, and what
// the rest of Tenure is told. It is pure: no clock, no randomness, no I/O.
package plan

import "slices"

// Currency of every price, as Stripe writes it.
const Currency = "usd"

// Plan is one thing that a tenant can buy.
type Plan struct {
	Name string
	// Cents is the price of a month; 0 needs no subscription.
	Cents int64
}

// Free reports whether nothing is to be paid.
func (p Plan) Free() bool { return p.Cents == 0 }

// LookupKey finds the plan's price at Stripe, whatever id it has there.
func (p Plan) LookupKey() string { return "tenure_" + p.Name + "_monthly" }

// Catalogue is the plans, from the lowest to the highest.
type Catalogue []Plan

// Default is the catalogue when no plan file replaces it.
func Default() Catalogue {
	return Catalogue{{"free", 0}, {"starter", 4_900}, {"professional", 19_900}, {"enterprise", 99_900}}
}

// Find returns the plan called name.
func (c Catalogue) Find(name string) (Plan, bool) {
	i := c.rank(name)
	if i < 0 {
		return Plan{}, false
	}
	return c[i], true
}

// Paid are the plans that need a price at Stripe.
func (c Catalogue) Paid() []Plan {
	return slices.DeleteFunc(slices.Clone(c), Plan.Free)
}

func (c Catalogue) rank(name string) int {
	return slices.IndexFunc(c, func(p Plan) bool { return p.Name == name })
}
