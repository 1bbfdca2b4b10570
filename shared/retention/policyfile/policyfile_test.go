package policyfile_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tenure/shared/retention"
	"tenure/shared/retention/policyfile"
)

func TestTheExample(t *testing.T) {
	p, err := policyfile.Load(filepath.Join("..", "..", "..", "deploy", "retention.example.yaml"))
	require.NoError(t, err)
	require.Equal(t, retention.Default().Default, p.Default)
	require.Equal(t, retention.Range{Min: 14, Default: 45, Max: 60}, p.For("eu", "enterprise", false))
	require.Equal(t, retention.Range{Min: 1, Default: 14, Max: 30}, p.For("us", "free", true))
	accounting, ok := p.Class("accounting")
	require.True(t, ok)
	require.Equal(t, 4018, accounting.KeepDays)
	require.Equal(t, retention.Approvals{Delete: true, ReleaseHold: true}, p.Approvals)
}

func TestNoFileIsTheDefault(t *testing.T) {
	p, err := policyfile.Load("")
	require.NoError(t, err)
	require.Equal(t, retention.Default(), p)
	_, err = policyfile.Load("not-there.yaml")
	require.ErrorContains(t, err, "TENURE_RETENTION_POLICY")
}

func TestWhatIsRefused(t *testing.T) {
	const sound = "default: {min: 1, default: 30, max: 90}\n"
	for name, c := range map[string]struct{ file, says string }{
		"empty":             {"", "the file is empty"},
		"no YAML":           {"default: [", "1"},
		"no default":        {"rules: []", "line 1: the file: missing property 'default'"},
		"half a default":    {"default: {min: 1}", "line 1: default: missing properties 'default', 'max'"},
		"misspelt":          {sound + "rules:\n  - {regoin: eu, max: 60}", "line 3: rules[0]: additional properties 'regoin' not allowed"},
		"text":              {sound + "rules:\n  - region: eu\n    max: soon", "line 4: rules[0].max: got string, want integer"},
		"fraction":          {sound + "rules:\n  - region: eu\n\n    max: 1.5", "line 5: rules[0].max: got number, want integer"},
		"zero":              {"default:\n  min: 0\n  default: 30\n  max: 90", "line 2: default.min: minimum: got 0, want 1"},
		"gdpr as text":      {sound + `rules: [{gdpr: "yes", max: 20}]`, "line 2: rules[0].gdpr: got string, want boolean"},
		"above the GDPR's":  {sound + "rules:\n  - {region: eu, max: 60}\n  - {gdpr: true, max: 45}", "line 4: rules[1]: max is 45: tenants under the GDPR are kept 30 days at most"},
		"min above max":     {sound + "rules:\n  - region: eu\n    min: 91", "line 3: rules[0]: for tenants of region eu"},
		"two that differ":   {sound + "rules:\n  - {region: eu, max: 60}\n  - {plan: free, max: 40}", "line 4: rules[1]: for tenants of region eu, plan free, no gdpr it sets max to 40, and rules[0] to 60"},
		"no basis":          {sound + "classes:\n  - name: accounting\n    keep_days: 10", "line 3: classes[0]: missing property 'basis'"},
		"blank basis":       {sound + `classes: [{name: a, keep_days: 1, basis: " "}]`, "line 2: classes[0]: the class a has no basis"},
		"negative class":    {sound + `classes: [{name: a, keep_days: -1, basis: law}]`, "line 2: classes[0].keep_days"},
		"class twice":       {sound + "classes:\n  - {name: a, keep_days: 1, basis: law}\n  - {name: a, keep_days: 2, basis: law}", "line 4: classes[1]: the class a is there twice"},
		"unknown approval":  {sound + "approvals: {purge: true}", "line 2: approvals: additional properties 'purge' not allowed"},
		"range upside down": {"default: {min: 40, default: 50, max: 90}", "line 1: default: for tenants of any other region, any other plan, gdpr min is 40 and max 30"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := policyfile.Parse([]byte(c.file))
			require.ErrorContains(t, err, c.says)
		})
	}
}

// Whoever corrects a file wants to see all that is wrong with it at once.
func TestAllErrorsAreTold(t *testing.T) {
	_, err := policyfile.Parse([]byte("default: {min: 1, default: 30, max: 90}\nrules:\n  - {region: eu}\n  - {max: 10}\n"))
	require.Len(t, strings.Split(err.Error(), "\n"), 2, err)
	require.ErrorContains(t, err, "line 3: rules[0]")
	require.ErrorContains(t, err, "line 4: rules[1]")
}
