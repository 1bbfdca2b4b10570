package cli_test

import (
	"strings"
	"testing"
)

func TestADeletionIsScheduledWithALastExport(t *testing.T) {
	flags := serve(t, map[string]string{
		"GET /v1/tenants/acme": `{"id":"acme","status":"active"}`,
		"POST /v1/tenants/acme/delete": `{"status":"scheduled","retention_days":30,"deletion_scheduled_for":"2026-02-01T00:00:00Z",
			"deletion_window":{"earliest":"2026-02-01T00:00:00Z","latest":"2026-02-01T01:00:00Z"},
			"export_offer":{"method":"POST","path":"/v1/tenants/acme/export","until":"2026-02-01T00:00:00Z"}}`,
	})
	out, err := run(t, append([]string{"delete", "acme", "--confirm", "Acme"}, flags...)...)
	want := "acme will be deleted between 2026-02-01 00:00:00Z and 2026-02-01 01:00:00Z\n" +
		"its data can be taken along until 2026-02-01 00:00:00Z: tenure export acme\n"
	if out != want || err != nil {
		t.Errorf("printed\n%swant\n%s(%v)", out, want, err)
	}
}

func TestWhatWaitsForAnotherOperatorIsShownAndDecided(t *testing.T) {
	const approval = `{"id":"a1","command":"delete","requested_by":"operator:ann","expires_at":"2026-01-08T00:00:00Z"}`
	flags := serve(t, map[string]string{
		"GET /v1/tenants/acme":                 `{"id":"acme","status":"active","approvals":[` + approval + `]}`,
		"POST /v1/tenants/acme/delete":         `{"status":"awaiting_approval","retention_days":30,"approval":` + approval + `}`,
		"DELETE /v1/tenants/acme/holds":        `{}`,
		"POST /v1/tenants/acme/approvals/a1":   `{}`,
		"DELETE /v1/tenants/acme/approvals/a1": `{}`,
	})
	const waits = "delete, asked for by operator:ann, waits until 2026-01-08 00:00:00Z for another operator: tenure approve acme a1\n"
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"delete", "acme"}, waits},
		{[]string{"release", "acme"}, "acme is active\n" + waits},
		{[]string{"approve", "acme", "a1", "--reason", "checked"}, "acme is active\n" + waits},
		{[]string{"reject", "acme", "a1"}, "acme is active\n" + waits},
	} {
		if out, err := run(t, append(test.args, flags...)...); out != test.want || err != nil {
			t.Errorf("%v: printed\n%swant\n%s(%v)", test.args, out, test.want, err)
		}
	}
	out, err := run(t, append([]string{"tenants", "show", "acme"}, flags...)...)
	if err != nil || !strings.Contains(out, "delete of operator:ann waits until 2026-01-08 00:00:00Z: a1\n") {
		t.Errorf("printed %s(%v)", out, err)
	}
}

func TestADryRunShowsWhatGoesAndWhatStays(t *testing.T) {
	flags := serve(t, map[string]string{
		"POST /v1/tenants/acme/preview": `{"allowed":true,"needs_approval":true,"due_at":"2026-02-01T00:00:00Z","erasure":{
			"stores":[{"store":"app","kind":"postgres","rows":253},{"store":"search","kind":"weaviate","error":"it is away"}],
			"rows":253,"bytes":1500000,"source":"stores",
			"stays":[{"what":"the data in app/invoices (accounting)","why":"HGB 257","until":"2037-01-01T00:00:00Z"},{"what":"the event log","why":"it proves what was done"}]}}`,
		"POST /v1/tenants/held/preview": `{"allowed":false,"refusal":{"code":"invalid_transition","detail":"it is gone already"}}`,
		"POST /v1/tenants/dark/preview": `{"allowed":true,"erasure":{"source":"unavailable"}}`,
	})
	out, err := run(t, append([]string{"delete", "acme", "--dry-run"}, flags...)...)
	want := "nothing was changed; a deletion of acme would begin at 2026-02-01 00:00:00Z, if another operator approved now\n" +
		"erased: 253 rows, some 1.5 MB\n" +
		"  app     postgres  253 rows\n" +
		"  search  weaviate  not counted: it is away\n" +
		"stays:\n" +
		"  the data in app/invoices (accounting): HGB 257; until 2037-01-01 00:00:00Z\n" +
		"  the event log: it proves what was done\n"
	if out != want || err != nil {
		t.Errorf("printed\n%swant\n%s(%v)", out, want, err)
	}
	if _, err := run(t, append([]string{"delete", "held", "--dry-run"}, flags...)...); err == nil || err.Error() != "it is gone already" {
		t.Errorf("a deletion that would be refused: %v", err)
	}
	if out, err := run(t, append([]string{"delete", "dark", "--dry-run"}, flags...)...); err != nil || !strings.Contains(out, "is not known") {
		t.Errorf("without deletion's answer: printed %s(%v)", out, err)
	}
	if _, err := run(t, append([]string{"delete", "acme", "--dry-run", "--watch"}, flags...)...); err == nil {
		t.Error("a dry run was watched")
	}
}
