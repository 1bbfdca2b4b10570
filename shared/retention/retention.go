// Package retention is how long data is kept: how many days a tenant that was asked to be deleted may be kept at least and
// at most, by region and plan, and which data outlives its tenant because a law says so. The lifecycle decides by it,
// deletion erases by it, and certificates name it.
//
// It is pure, and safe for concurrent use as long as nobody changes a policy that others read.
package retention

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
)

// GDPRMax is the most days that a tenant under the GDPR is kept, whatever a policy says. Article 17(1) of the GDPR wants
// data erased "without undue delay"; this is what Tenure takes that to be at most.
const GDPRMax = 30

// Policy is one retention policy. Check says whether it can be used.
type Policy struct {
	// Default is for tenants that no rule is about.
	Default Range
	Rules   []Rule
	Classes []Class
	// Approvals say what one operator cannot do alone.
	Approvals Approvals
}

// Range is how long a tenant is kept from the request to the purge, in days of 24 hours.
type Range struct {
	Min int
	// Default is for requests that name no number.
	Default int
	Max     int
}

// Rule changes the range of the tenants that it is about. What it does not name matches all, and stays as it is. Of
// two rules about one tenant that which names more of region, plan and gdpr wins, field by field.
type Rule struct {
	Region string `json:",omitempty"`
	Plan   string `json:",omitempty"`
	GDPR   *bool  `json:",omitempty"`

	Min     *int `json:",omitempty"`
	Default *int `json:",omitempty"`
	Max     *int `json:",omitempty"`
}

// Class is data that outlives its tenant.
type Class struct {
	// Name is what the data map calls it.
	Name string
	// KeepDays of 24 hours, from the beginning of the purge; 0 keeps it no longer than anything else.
	KeepDays int
	// Basis is the legal one, as a certificate shows it.
	Basis string
}

// Approvals are what a second operator has to approve. A tenant that deletes itself by its own token needs no operator.
type Approvals struct {
	Delete      bool
	ReleaseHold bool
}

// Default is the policy when no file replaces it: 1 to 90 days, 30 when nobody says, nothing kept longer.
func Default() Policy { return Policy{Default: Range{Min: 1, Default: 30, Max: 90}} }

// For returns the range of a tenant, at most GDPRMax under the GDPR. A default that the range leaves out is its nearest end.
func (p Policy) For(region, plan string, gdpr bool) Range {
	of := tenant{region, plan, gdpr}
	r := Range{Min: p.pick(of, fieldMin).days, Default: p.pick(of, fieldDefault).days, Max: p.pick(of, fieldMax).days}
	if gdpr {
		r.Max = min(r.Max, GDPRMax)
	}
	r.Default = min(max(r.Default, r.Min), r.Max)
	return r
}

// Class returns the class of this name. Data of no class, and of one that is not there, goes with its tenant.
func (p Policy) Class(name string) (Class, bool) {
	i := slices.IndexFunc(p.Classes, func(c Class) bool { return c.Name == name })
	if i < 0 {
		return Class{}, false
	}
	return p.Classes[i], true
}

// Hash names the policy: 16 hexadecimal digits, the same for whatever says the same in another order.
func (p Policy) Hash() string {
	p.Rules, p.Classes = sorted(p.Rules), sorted(p.Classes)
	content, _ := json.Marshal(p) // numbers, strings and booleans always can be
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:8])
}

func sorted[T any](list []T) []T {
	text := func(v T) string {
		content, _ := json.Marshal(v)
		return string(content)
	}
	return slices.SortedFunc(slices.Values(list), func(a, b T) int { return cmp.Compare(text(a), text(b)) })
}

// tenant is what a rule looks at.
type tenant struct {
	region, plan string
	gdpr         bool
}

// matches reports whether the rule is about such tenants.
func (r Rule) matches(t tenant) bool {
	return (r.Region == "" || r.Region == t.region) && (r.Plan == "" || r.Plan == t.plan) && (r.GDPR == nil || *r.GDPR == t.gdpr)
}

// names counts what the rule names.
func (r Rule) names() (n int) {
	for _, named := range []bool{r.Region != "", r.Plan != "", r.GDPR != nil} {
		if named {
			n++
		}
	}
	return n
}

// field is one of a range's.
type field struct {
	name string
	own  func(Range) int
	of   func(Rule) *int // nil: the rule leaves it as it is
}

var (
	fieldMin     = field{"min", func(r Range) int { return r.Min }, func(r Rule) *int { return r.Min }}
	fieldDefault = field{"default", func(r Range) int { return r.Default }, func(r Rule) *int { return r.Default }}
	fieldMax     = field{"max", func(r Range) int { return r.Max }, func(r Rule) *int { return r.Max }}
	fields       = []field{fieldMin, fieldDefault, fieldMax}
)

// choice is what a field is for one tenant.
type choice struct {
	days int
	// rule is the place of the rule that says so, names how much that one names; -1 and 0: the policy's default range does.
	rule, names int
	// rival is the place of a rule that names as much and says another number; -1 without one.
	rival int
}

// pick finds what the rule that names most says about a field.
func (p Policy) pick(t tenant, f field) choice {
	best := choice{days: f.own(p.Default), rule: -1, rival: -1}
	for i, r := range p.Rules {
		days := f.of(r)
		if days == nil || !r.matches(t) || r.names() < best.names {
			continue
		}
		if r.names() > best.names {
			best = choice{days: *days, rule: i, names: r.names(), rival: -1}
		} else if *days != best.days {
			best.rival = i
		}
	}
	return best
}
