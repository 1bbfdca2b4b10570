package cli_test

import (
	"strings"
	"testing"
)

func TestReapplyTellsWhatWasErasedAndWhoWasRefused(t *testing.T) {
	flags := serve(t, map[string]string{
		"POST /v1/deletion/reapply": `{"id":"r1"}`,
		"GET /v1/deletion/reapply/r1": `{"id":"r1","status":"completed","tombstones":[
			{"tenant":"acme","generation":1,"status":"erased","rows":7},
			{"tenant":"empty","generation":1,"status":"erased","rows":0},
			{"tenant":"returned","generation":1,"status":"refused","reason":"the log shows it active"}]}`,
	})
	out, err := run(t, append([]string{"deletion", "reapply"}, flags...)...)
	if err == nil || !strings.Contains(err.Error(), "refused: 1") {
		t.Errorf("got %v", err)
	}
	want := "acme      erased   7 rows\n" +
		"returned  refused  the log shows it active\n" +
		"erased: 7 rows, of 2 deleted tenants that were looked at\n"
	if out != want {
		t.Errorf("printed\n%swant\n%s", out, want)
	}
}
