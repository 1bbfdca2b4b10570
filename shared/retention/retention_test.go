package retention_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tenure/shared/retention"
)

func ptr[T any](v T) *T { return &v }

func example() retention.Policy {
	p := retention.Default()
	p.Rules = []retention.Rule{
		{GDPR: ptr(true), Default: ptr(14)},
		{Region: "eu", Max: ptr(60)},
		{Plan: "enterprise", Min: ptr(14)},
		{Region: "eu", Plan: "enterprise", Default: ptr(45)},
	}
	p.Classes = []retention.Class{{Name: "accounting", KeepDays: 4018, Basis: "HGB § 257"}}
	return p
}

func TestTheRuleThatNamesMostWins(t *testing.T) {
	for _, c := range []struct {
		region, plan string
		gdpr         bool
		want         retention.Range
	}{
		{"us", "starter", false, retention.Range{Min: 1, Default: 30, Max: 90}},
		{"us", "starter", true, retention.Range{Min: 1, Default: 14, Max: 30}},
		{"eu", "starter", false, retention.Range{Min: 1, Default: 30, Max: 60}},
		{"us", "enterprise", false, retention.Range{Min: 14, Default: 30, Max: 90}},
		{"eu", "enterprise", false, retention.Range{Min: 14, Default: 45, Max: 60}},
		{"eu", "enterprise", true, retention.Range{Min: 14, Default: 30, Max: 30}},
		{"", "", false, retention.Range{Min: 1, Default: 30, Max: 90}},
	} {
		require.Equal(t, c.want, example().For(c.region, c.plan, c.gdpr), "%+v", c)
	}
	require.NoError(t, example().Check())
}

func TestTheDefaultPolicy(t *testing.T) {
	require.NoError(t, retention.Default().Check())
	require.Equal(t, retention.Range{Min: 1, Default: 30, Max: 90}, retention.Default().For("eu", "free", false))
	require.Equal(t, retention.Range{Min: 1, Default: 30, Max: 30}, retention.Default().For("eu", "free", true))
}

func TestClasses(t *testing.T) {
	c, ok := example().Class("accounting")
	require.True(t, ok)
	require.Equal(t, 4018, c.KeepDays)
	_, ok = example().Class("")
	require.False(t, ok)
}

func TestWhatContradictsItselfIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		rules []retention.Rule
		says  string
	}{
		"min above max":              {[]retention.Rule{{Region: "eu", Min: ptr(91)}}, "rules[0]: for tenants of region eu, any other plan, no gdpr min is 91 and max 90"},
		"min above the GDPR's":       {[]retention.Rule{{Region: "eu", Min: ptr(31)}}, "rules[0]: for tenants of region eu, any other plan, gdpr min is 31 and max 30"},
		"max above the GDPR's":       {[]retention.Rule{{GDPR: ptr(true), Max: ptr(31)}}, "rules[0]: max is 31: tenants under the GDPR are kept 30 days at most"},
		"default above the GDPR's":   {[]retention.Rule{{GDPR: ptr(true), Plan: "free", Default: ptr(60)}}, "rules[0]: default is 60"},
		"default above its own max":  {[]retention.Rule{{Plan: "free", Default: ptr(20), Max: ptr(10)}}, "rules[0]: for tenants of any other region, plan free, no gdpr the default is 20, above max 10"},
		"default below its own min":  {[]retention.Rule{{Plan: "free", Default: ptr(3), Min: ptr(5)}}, "the default is 3, below min 5"},
		"two that differ":            {[]retention.Rule{{Region: "eu", Max: ptr(60)}, {Plan: "free", Max: ptr(40)}}, "rules[1]: for tenants of region eu, plan free, no gdpr it sets max to 40, and rules[0] to 60"},
		"the same one twice":         {[]retention.Rule{{Region: "eu", Max: ptr(60)}, {Region: "eu", Max: ptr(40)}}, "rules[1]: for tenants of region eu, any other plan, no gdpr it sets max to 40, and rules[0] to 60"},
		"about all":                  {[]retention.Rule{{Max: ptr(60)}}, "rules[0]: name a region, a plan or gdpr"},
		"about nothing":              {[]retention.Rule{{Region: "eu"}}, "rules[0]: the rule about region eu sets none"},
		"zero":                       {[]retention.Rule{{Region: "eu", Min: ptr(0)}}, "rules[0]: min is 0: it must be 1 to 36500 days"},
		"more than a hundred years":  {[]retention.Rule{{Region: "eu", Max: ptr(36_501)}}, "rules[0]: max is 36501"},
		"min of two rules above max": {[]retention.Rule{{Region: "eu", Max: ptr(20)}, {Plan: "free", Min: ptr(25), Default: ptr(28)}}, "for tenants of region eu, plan free, no gdpr min is 25 and max 20"},
	} {
		t.Run(name, func(t *testing.T) {
			p := retention.Default()
			p.Rules = c.rules
			require.ErrorContains(t, p.Check(), c.says)
		})
	}
	for name, c := range map[string]struct {
		class retention.Class
		says  string
	}{
		"no basis":  {retention.Class{Name: "a", KeepDays: 1, Basis: " "}, "classes[1]: the class a has no basis"},
		"negative":  {retention.Class{Name: "a", KeepDays: -1, Basis: "law"}, "classes[1]: keep_days is -1"},
		"two alike": {retention.Class{Name: "accounting", KeepDays: 1, Basis: "law"}, "classes[1]: the class accounting is there twice"},
		"no name":   {retention.Class{KeepDays: 1, Basis: "law"}, "classes[1]: the class has no name"},
	} {
		t.Run(name, func(t *testing.T) {
			p := example()
			p.Classes = append(p.Classes, c.class)
			require.ErrorContains(t, p.Check(), c.says)
		})
	}
}

// Two rules that would contradict each other may stand if a third settles what holds where they meet.
func TestARuleThatNamesMoreSettlesAConflict(t *testing.T) {
	p := retention.Default()
	p.Rules = []retention.Rule{
		{Region: "eu", Max: ptr(60)}, {Plan: "free", Max: ptr(40)}, {Region: "eu", Plan: "free", Max: ptr(50)},
	}
	require.NoError(t, p.Check())
	require.Equal(t, 50, p.For("eu", "free", false).Max)
}

func TestTheHashNamesWhatThePolicySays(t *testing.T) {
	require.Regexp(t, `^[0-9a-f]{16}$`, example().Hash())
	shuffled := example()
	slices.Reverse(shuffled.Rules)
	require.Equal(t, example().Hash(), shuffled.Hash())
	seen := map[string]bool{example().Hash(): true, retention.Default().Hash(): true}
	for _, change := range []func(*retention.Policy){
		func(p *retention.Policy) { p.Default.Max = 91 },
		func(p *retention.Policy) { p.Rules[1].Max = ptr(61) },
		func(p *retention.Policy) { p.Rules[0].GDPR = ptr(false) },
		func(p *retention.Policy) { p.Classes[0].Basis = "another" },
		func(p *retention.Policy) { p.Approvals.Delete = true },
	} {
		p := example()
		change(&p)
		require.False(t, seen[p.Hash()])
		seen[p.Hash()] = true
	}
}

// Whatever passes Check holds for every tenant, named or not.
func TestAnyPolicyThatPassesHasARangeForAll(t *testing.T) {
	passed := 0
	rapid.Check(t, func(t *rapid.T) {
		name := func(label, prefix string) string {
			return rapid.SampledFrom([]string{"", prefix + "1", prefix + "2"}).Draw(t, label)
		}
		days := func(label string) *int { return rapid.Ptr(rapid.IntRange(0, 60), true).Draw(t, label) }
		p := retention.Policy{Default: retention.Range{
			Min: rapid.IntRange(1, 20).Draw(t, "min"), Default: rapid.IntRange(1, 90).Draw(t, "default"), Max: rapid.IntRange(10, 90).Draw(t, "max"),
		}}
		for range rapid.IntRange(0, 4).Draw(t, "rules") {
			p.Rules = append(p.Rules, retention.Rule{
				Region: name("region", "r"), Plan: name("plan", "p"), GDPR: rapid.Ptr(rapid.Bool(), true).Draw(t, "gdpr"),
				Min: days("min"), Default: days("default"), Max: days("max"),
			})
		}
		if err := p.Check(); err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Fatal("refused without a word")
			}
			return
		}
		passed++
		for range 10 {
			gdpr := rapid.Bool().Draw(t, "gdpr")
			r := p.For(rapid.SampledFrom([]string{"r1", "r2", "elsewhere"}).Draw(t, "of"), rapid.SampledFrom([]string{"p1", "p2", "other"}).Draw(t, "on"), gdpr)
			if r.Min < 1 || r.Min > r.Default || r.Default > r.Max || gdpr && r.Max > retention.GDPRMax {
				t.Fatalf("%+v makes %+v", p, r)
			}
		}
	})
	require.Positive(t, passed, "no policy passed: the property said nothing")
}
