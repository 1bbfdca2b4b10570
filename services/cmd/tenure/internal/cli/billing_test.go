package cli_test

import (
	"strings"
	"testing"
)

func TestDriftIsShownAndHealed(t *testing.T) {
	const (
		leaving = `"tenant":"acme","kind":"not_leaving","detail":"acme is leaving","first_seen":"2026-01-02T03:04:05Z"`
		extra   = `"tenant":"beta","kind":"extra_subscription","detail":"sub_2 charges too","first_seen":"2026-01-02T03:04:05Z","needs_person":true`
	)
	flags := serve(t, map[string]string{
		"GET /v1/billing/drift":       `{"items":[{` + leaving + `},{` + extra + `}],"checked":7,"more":true}`,
		"POST /v1/billing/drift/heal": `{"items":[{` + leaving + `,"healed":true}],"checked":7}`,
	})
	out, err := run(t, append([]string{"billing", "drift"}, flags...)...)
	want := "TENANT  KIND                SINCE                 STATUS           DETAIL\n" +
		"acme    not_leaving         2026-01-02 03:04:05Z  heals by itself  acme is leaving\n" +
		"beta    extra_subscription  2026-01-02 03:04:05Z  needs a person   sub_2 charges too\n" +
		"differences: 2, in 7 lives of tenants\n" +
		"there is more: look again when this is mended\n"
	if out != want {
		t.Errorf("printed\n%swant\n%s", out, want)
	}
	if err == nil || !strings.Contains(err.Error(), "need a person: 1") {
		t.Errorf("drift that needs a person is no error: %v", err)
	}

	out, err = run(t, append([]string{"billing", "drift", "--heal"}, flags...)...)
	want = "TENANT  KIND         SINCE                 STATUS  DETAIL\n" +
		"acme    not_leaving  2026-01-02 03:04:05Z  healed  acme is leaving\n" +
		"differences: 1, in 7 lives of tenants\n"
	if out != want || err != nil {
		t.Errorf("printed\n%swant\n%s(%v)", out, want, err)
	}
}
