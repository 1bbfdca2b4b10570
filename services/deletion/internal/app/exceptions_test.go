package app_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"tenure/services/deletion/internal/purge"
)

// What a participant keeps, and why, stands in the certificate; what it says later of other things does not take it away.
func TestWhatAParticipantKeepsIsAnException(t *testing.T) {
	w := newWorld(t, &fakeStore{name: "documents", rows: 1})
	w.start(w.app)
	w.purge(1, "billing", "index")
	w.send(participantDone("billing", "erase", `{"before":1,"after":0,"exceptions":[
		{"what":"invoices and payments at Stripe","reason":"tax law"},{"what":"a log"},{"reason":"of nothing"}]}`))
	w.send(participantDone("index", "erase", `{"after":0}`))
	w.send(participantDone("billing", "verify", `{"after":0}`))
	w.finish()
	want := []purge.Exception{
		{What: "invoices and payments at Stripe", Why: "tax law"},
		{What: "a log", Why: "billing gives no reason"},
	}
	if diff := cmp.Diff(want, w.certificateOf("certificates/acme/1.json").Exceptions[:2]); diff != "" {
		t.Errorf("exceptions (-want +got):\n%s", diff)
	}
}
