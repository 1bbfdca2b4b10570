package planfile_test

import (
	"path/filepath"
	"strings"
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
	for name, file := range map[string]string{
		"empty":            "",
		"no plan":          "plans: []",
		"misspelt limit":   "plans: [{name: a, limits: {querys: 1}}]",
		"negative price":   "plans: [{name: a, price_cents: -1}]",
		"fractional price": "plans: [{name: a, price_cents: 1.5}]",
		"name for no URL":  "plans: [{name: a/b}]",
		"two of one name":  "plans: [{name: a}, {name: a}]",
		"dearer below":     "plans: [{name: a, price_cents: 2}, {name: b, price_cents: 1}]",
		"grace":            "plans: [{name: a, grace: soon}]",
		"negative grace":   "plans: [{name: a, grace: -1h}]",
		"two prices":       "plans: [{name: a}]\nusage: [{metric: q, cents: 1}, {metric: q, cents: 2}]",
		"usage for free":   "plans: [{name: a}]\nusage: [{metric: q, cents: 0}]",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := planfile.Parse([]byte(file))
			require.Error(t, err)
		})
	}
	_, err := planfile.Load("not-there.yaml")
	require.ErrorContains(t, err, "TENURE_PLANS")
	require.False(t, strings.Contains(err.Error(), "panic"))
}
