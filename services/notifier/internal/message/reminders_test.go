package message_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tenure/services/notifier/internal/message"
	"tenure/shared/events"
)

const day = 24 * time.Hour

// rung is a reminder as its times matter: days after the event.
type rung struct {
	Template    message.Template
	Rung        string
	At, Expires float64
	Last        bool
}

func rungs(reminders []message.Reminder) []rung {
	days := func(t time.Time) float64 { return t.Sub(when).Round(time.Hour).Hours() / 24 }
	var out []rung
	for _, r := range reminders {
		out = append(out, rung{r.Template, r.Rung, days(r.At), days(r.Expires), r.Facts.Last})
	}
	return out
}

func TestLadders(t *testing.T) {
	in := func(days float64) time.Time { return when.Add(time.Duration(days * float64(day))) }
	at := func(days float64) *time.Time { t := in(days); return &t }
	week := []rung{
		{message.PaymentReminder, "1/3", 56. / 24, 112. / 24, false},
		{message.PaymentReminder, "2/3", 112. / 24, 6, false},
		{message.PaymentLastCall, "6/7", 6, 7, false},
	}
	for _, test := range []struct {
		what  string
		event events.Payload
		want  []rung
	}{
		{"a week of grace", &events.PaymentPastDue{Change: pastDue, GraceEndsAt: at(7)}, week},
		{"three weeks of grace", &events.PaymentPastDue{Change: pastDue, GraceEndsAt: at(21)}, []rung{
			{message.PaymentReminder, "1/3", 7, 14, false},
			{message.PaymentReminder, "2/3", 14, 18, false},
			{message.PaymentLastCall, "6/7", 18, 21, false},
		}},
		{"a grace that is over", &events.PaymentPastDue{Change: pastDue, GraceEndsAt: at(-1)}, nil},
		{"no grace, for it is exempt", &events.PaymentPastDue{Change: pastDue}, nil},
		{"the end of an exemption", &events.ExemptionEnded{Change: pastDue, GraceEndsAt: at(7)}, week},
		{"the end of an exemption, all paid", &events.ExemptionEnded{}, nil},

		{"a month to the deletion", &events.DeletionRequested{ScheduledFor: in(30)}, []rung{
			{message.DeletionReminder, "7d", 23, 29, false},
			{message.DeletionReminder, "1d", 29, 30, true},
		}},
		{"a week to the deletion", &events.DeletionRequested{ScheduledFor: in(7)}, []rung{{message.DeletionReminder, "1d", 6, 7, true}}},
		{"a day to the deletion", &events.DeletionRequested{ScheduledFor: in(1)}, nil},

		{"an archive for a week", &events.ArchiveCompleted{ExpiresAt: in(7)}, []rung{{message.ExportExpiring, "1d", 6, 7, false}}},
		{"an archive for a day", &events.ArchiveCompleted{ExpiresAt: in(1)}, nil},
		{"an archive without an end", &events.ArchiveCompleted{}, nil},
	} {
		if diff := cmp.Diff(test.want, rungs(reaction(t, test.event).Schedule)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.what, diff)
		}
	}
}

// A mail that says that everything works goes to tenants for whom it does.
func TestWhoIsNotToldOfAFailedPayment(t *testing.T) {
	past := when.Add(-day)
	for what, event := range map[string]events.Payload{
		"during a change, exempt":            &events.PaymentPastDue{Change: events.Change{From: "upgrading", To: "upgrading"}},
		"suspended, exempt":                  &events.PaymentPastDue{Change: events.Change{From: "suspended", To: "suspended"}},
		"suspended, and not exempt any more": &events.ExemptionEnded{Change: events.Change{From: "suspended", To: "suspended"}, GraceEndsAt: &later},
		"not exempt any more, all paid":      &events.ExemptionEnded{Change: events.Change{From: "active", To: "active"}},
		"about to be suspended":              &events.PaymentPastDue{Change: pastDue, GraceEndsAt: &past},
	} {
		if got := reaction(t, event); got.Send != nil || got.Schedule != nil {
			t.Errorf("%s: %+v, %+v", what, got.Send, got.Schedule)
		}
	}
}

// Where tests shorten a day, reminders follow.
func TestDaysScale(t *testing.T) {
	e, err := events.New(&events.DeletionRequested{ScheduledFor: when.Add(30 * time.Second)}, "acme")
	if err != nil {
		t.Fatal(err)
	}
	e.Time = when
	r, err := message.Rules{Day: time.Second}.ReactionTo(e)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Schedule; len(got) != 2 || got[0].At != when.Add(23*time.Second) || got[1].At != when.Add(29*time.Second) {
		t.Errorf("reminders: %+v", got)
	}
}
