package planfile_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenure/shared/plans"
	"tenure/shared/plans/planfile"
)

// The example says of itself that it is the default, with features and usage added.
func TestTheExampleIsTheDefault(t *testing.T) {
	offer, err := planfile.Load(filepath.Join("..", "..", "..", "deploy", "plans.example.yaml"))
	require.NoError(t, err)
	for i, want := range plans.Default() {
		got := offer.Plans[i]
		require.Equal(t, want.Name, got.Name)
		require.Equal(t, want.Cents, got.Cents, want.Name)
		require.Equal(t, want.Limits, got.Limits, want.Name)
	}
	require.Equal(t, 720*time.Hour, *offer.Plans[3].Grace)
	require.Equal(t, []plans.UsagePrice{{Metric: "embeddings", Cents: 0.05}}, offer.Usage)
	require.InDelta(t, 10_000, offer.Plans[1].Included["embeddings"], 0)
}

func TestNoFileIsTheDefault(t *testing.T) {
	offer, err := planfile.Load("")
	require.NoError(t, err)
	require.Equal(t, plans.DefaultOffer(), offer)
}

func TestWhatIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ file, says string }{
		"empty":            {"", "the file is empty"},
		"no plan":          {"plans: []", "line 1: plans: minItems"},
		"misspelt limit":   {"plans:\n  - name: a\n    limits: {querys: 1}", "line 3: plans[0].limits: additional properties 'querys' not allowed"},
		"negative price":   {"plans: [{name: a, price_cents: -1}]", "plans[0].price_cents: minimum"},
		"fractional price": {"plans: [{name: a, price_cents: 1.5}]", "plans[0].price_cents: got number, want integer"},
		"name for no URL":  {"plans: [{name: a/b}]", "plans[0].name"},
		"two of one name":  {"plans:\n  - {name: a}\n  - {name: a}", `line 3: plans[1]: another plan is called "a", too`},
		"dearer below":     {"plans:\n  - {name: a, price_cents: 2}\n  - {name: b, price_cents: 1}", "line 3: plans[1]: b costs less than a before it"},
		"grace":            {"plans:\n  - name: a\n    grace: soon", `line 3: plans[0].grace: "soon" is no time like 168h`},
		"negative grace":   {"plans: [{name: a, grace: -1h}]", "plans[0].grace"},
		"two prices":       {"plans: [{name: a}]\nusage: [{metric: q, cents: 1}, {metric: q, cents: 2}]", `line 2: usage[1]: the metric "q" has two prices`},
		"usage for free":   {"plans: [{name: a}]\nusage: [{metric: q, cents: 0}]", "line 2: usage[0].cents"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := planfile.Parse([]byte(c.file))
			require.ErrorContains(t, err, c.says)
		})
	}
	_, err := planfile.Load("not-there.yaml")
	require.ErrorContains(t, err, "TENURE_PLANS")
}
