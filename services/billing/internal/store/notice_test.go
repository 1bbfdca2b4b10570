package store_test

import (
	"testing"
	"time"

	"tenure/services/billing/internal/plan"
	"tenure/shared/events"
)

func TestOldNoticesAreForgotten(t *testing.T) {
	s, db, _ := open(t)
	ages := map[string]string{"evt_new": "0 days", "evt_34": "34 days", "evt_36": "36 days", "evt_37": "37 days", "evt_38": "38 days"}
	var all []plan.Notice
	for id, age := range ages {
		n := plan.Notice{StripeNotice: events.StripeNotice{EventID: id, Type: "invoice.paid", CustomerID: "cus_1", Created: time.Unix(1, 0)}}
		if err := s.Take(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		_, err := db.Exec(t.Context(), `UPDATE webhook_events SET received_at = received_at - $2::interval WHERE event_id = $1`, id, age)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	for _, want := range []int{2, 1, 0} {
		if n, err := s.PruneNotices(t.Context(), 2); err != nil || n != want {
			t.Errorf("forgot %d, %v, want %d", n, err, want)
		}
	}
	if missing, err := s.Missing(t.Context(), all); err != nil || len(missing) != 3 {
		t.Errorf("forgotten are %v, %v", missing, err)
	}
}
