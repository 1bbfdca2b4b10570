package retention

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MaxDays bounds every period, to a hundred years: longer ones are mistakes, and times would overflow.
const MaxDays = 36_500

// Conflict is a part of a policy that contradicts another, or the law.
type Conflict struct {
	// At is the place in the policy, as in a policy file: default, rules[0], classes[2].
	At      string
	Message string
}

func (c *Conflict) Error() string { return c.At + ": " + c.Message }

// Check refuses a policy that leaves open what holds for some tenant, or that nobody may have. The error joins one
// *Conflict for each thing that is wrong.
func (p Policy) Check() error {
	var found []error
	conflict := func(at, format string, args ...any) {
		c := &Conflict{at, fmt.Sprintf(format, args...)}
		if !slices.ContainsFunc(found, func(e error) bool { return e.Error() == c.Error() }) {
			found = append(found, c)
		}
	}
	p.checkNumbers(conflict)
	p.checkClasses(conflict)
	if found == nil { // what follows only makes sense of sound numbers
		for _, t := range p.tenants() {
			p.checkTenant(t, conflict)
		}
	}
	return errors.Join(found...)
}

type report func(at, format string, args ...any)

// checkNumbers looks at each rule by itself.
func (p Policy) checkNumbers(conflict report) {
	days := func(at, name string, n *int) {
		if n != nil && (*n < 1 || *n > MaxDays) {
			conflict(at, "%s is %d: it must be 1 to %d days", name, *n, MaxDays)
		}
	}
	check := func(at string, least, usual, most *int) {
		days(at, "min", least)
		days(at, "default", usual)
		days(at, "max", most)
	}
	d := p.Default
	check("default", &d.Min, &d.Default, &d.Max)
	for i, r := range p.Rules {
		at := ruleAt(i)
		check(at, r.Min, r.Default, r.Max)
		if r.names() == 0 {
			conflict(at, "name a region, a plan or gdpr; what holds for all tenants is the default")
		}
		if r.Min == nil && r.Default == nil && r.Max == nil {
			conflict(at, "the rule about %s sets none of min, default and max", r)
		}
	}
}

func (p Policy) checkClasses(conflict report) {
	for i, c := range p.Classes {
		at := fmt.Sprintf("classes[%d]", i)
		switch {
		case c.Name == "":
			conflict(at, "the class has no name")
		case slices.IndexFunc(p.Classes, func(o Class) bool { return o.Name == c.Name }) != i:
			conflict(at, "the class %s is there twice", c.Name)
		}
		if c.KeepDays < 0 || c.KeepDays > MaxDays {
			conflict(at, "keep_days is %d: it must be 0 to %d", c.KeepDays, MaxDays)
		}
		if strings.TrimSpace(c.Basis) == "" {
			conflict(at, "the class %s has no basis: name the law that data is kept by beyond its tenant", c.Name)
		}
	}
}

// tenants are all kinds of tenants that the rules can tell apart; "" is a region or plan that no rule names.
func (p Policy) tenants() []tenant {
	regions, plans := []string{""}, []string{""}
	for _, r := range p.Rules {
		regions, plans = append(regions, r.Region), append(plans, r.Plan)
	}
	var out []tenant
	for _, region := range distinct(regions) {
		for _, plan := range distinct(plans) {
			out = append(out, tenant{region, plan, false}, tenant{region, plan, true})
		}
	}
	return out
}

func distinct(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }

// checkTenant looks at what all rules together make of one kind of tenants.
func (p Policy) checkTenant(t tenant, conflict report) {
	for _, f := range fields {
		c := p.pick(t, f)
		if c.rival >= 0 {
			conflict(ruleAt(c.rival), "for %s it sets %s to %d, and %s to %d: add a rule that names both, or make them equal",
				t, f.name, *f.of(p.Rules[c.rival]), ruleAt(c.rule), c.days)
			return
		}
		if t.gdpr && c.days > GDPRMax && p.aboutGDPR(c) {
			conflict(ruleAt(c.rule), "%s is %d: tenants under the GDPR are kept %d days at most", f.name, c.days, GDPRMax)
			return
		}
	}
	least, usual, most := p.pick(t, fieldMin), p.pick(t, fieldDefault), p.pick(t, fieldMax)
	limit := most
	if t.gdpr && limit.days > GDPRMax {
		limit = choice{days: GDPRMax, rule: -1}
	}
	// A narrower range moves the default that it leaves out. A rule that sets a default outside of a range that it was to
	// refine contradicts itself.
	switch {
	case least.days > limit.days:
		conflict(placeOf(later(least, limit)), "for %s min is %d and max %d", t, least.days, limit.days)
	case usual.days < least.days && usual.names >= least.names:
		conflict(placeOf(usual), "for %s the default is %d, below min %d", t, usual.days, least.days)
	case usual.days > most.days && usual.names >= most.names:
		conflict(placeOf(usual), "for %s the default is %d, above max %d", t, usual.days, most.days)
	}
}

// aboutGDPR reports whether the rule behind a choice is about tenants under the GDPR alone.
func (p Policy) aboutGDPR(c choice) bool { return c.rule >= 0 && p.Rules[c.rule].GDPR != nil }

// later is the choice whose rule names more.
func later(a, b choice) choice {
	if b.names > a.names {
		return b
	}
	return a
}

// placeOf is where a choice is made.
func placeOf(c choice) string {
	if c.rule < 0 {
		return "default"
	}
	return ruleAt(c.rule)
}

func ruleAt(i int) string { return fmt.Sprintf("rules[%d]", i) }

// String is what the rule is about.
func (r Rule) String() string {
	var words []string
	if r.Region != "" {
		words = append(words, "region "+r.Region)
	}
	if r.Plan != "" {
		words = append(words, "plan "+r.Plan)
	}
	if r.GDPR != nil {
		words = append(words, fmt.Sprintf("gdpr %t", *r.GDPR))
	}
	return strings.Join(words, ", ")
}

// String names a kind of tenants.
func (t tenant) String() string {
	name := func(kind, name string) string {
		if name == "" {
			return "any other " + kind
		}
		return kind + " " + name
	}
	gdpr := "no gdpr"
	if t.gdpr {
		gdpr = "gdpr"
	}
	return fmt.Sprintf("tenants of %s, %s, %s", name("region", t.region), name("plan", t.plan), gdpr)
}
