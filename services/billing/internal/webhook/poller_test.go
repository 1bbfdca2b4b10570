package webhook_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/webhook"
	"tenure/shared/events"
	"tenure/shared/testkit"
)

// inbox remembers notices and the cursor; it tells of each poll's end.
type inbox struct {
	taken  []string
	cursor time.Time
	moved  chan time.Time
}

func (i *inbox) Take(_ context.Context, n plan.Notice) error {
	i.taken = append(i.taken, n.EventID)
	return nil
}

func (i *inbox) Missing(_ context.Context, notices []plan.Notice) ([]plan.Notice, error) {
	return slices.DeleteFunc(slices.Clone(notices), func(n plan.Notice) bool { return slices.Contains(i.taken, n.EventID) }), nil
}

func (i *inbox) Unpark(context.Context) error                  { return nil }
func (i *inbox) PollCursor(context.Context) (time.Time, error) { return i.cursor, nil }
func (i *inbox) MovePollCursor(_ context.Context, to time.Time) error {
	i.cursor = to
	i.moved <- to
	return nil
}

// source answers polls one after another, and tells from when on it was asked.
type source struct {
	answers [][]plan.Notice
	since   []time.Time
}

func (s *source) Events(_ context.Context, since time.Time) ([]plan.Notice, error) {
	s.since = append(s.since, since)
	if len(s.since) > len(s.answers) {
		return nil, errors.New("Stripe is away")
	}
	return s.answers[len(s.since)-1], nil
}

func TestPollTakesWhatWebhooksMissed(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	notice := func(id string, after time.Duration) plan.Notice {
		return plan.Notice{StripeNotice: events.StripeNotice{EventID: id, Created: begin.Add(after)}}
	}
	from := &source{answers: [][]plan.Notice{
		{notice("evt_1", 0), notice("evt_2", time.Hour)},
		{notice("evt_late", 59*time.Minute), notice("evt_2", time.Hour)},
	}}
	to := &inbox{taken: []string{"evt_1"}, moved: make(chan time.Time)} // evt_1 came by webhook
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		webhook.Poll(ctx, from, to, time.Millisecond)
	}()
	for range from.answers {
		if at := testkit.Receive(t, 10*time.Second, to.moved); !at.Equal(begin.Add(time.Hour)) {
			t.Errorf("the cursor is at %v", at)
		}
	}
	cancel()
	<-done
	if want := []string{"evt_1", "evt_2", "evt_late"}; !slices.Equal(to.taken, want) {
		t.Errorf("took %v, want %v", to.taken, want)
	}
	if !from.since[0].IsZero() || !from.since[1].Before(begin.Add(59*time.Minute)) {
		t.Errorf("asked from %v on", from.since)
	}
}
