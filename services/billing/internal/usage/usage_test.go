package usage_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/usage"
	"tenure/shared/events"
	"tenure/shared/plans"
)

const metric = usage.Queries

// stripe is as much of Stripe as usage meets: periods, idempotency keys, invoices at the end of periods.
type stripe struct {
	sub     *plan.Subscription            // live; nil: none
	periods map[string][]plan.UsagePeriod // by item, newest first
	seen    map[string]bool               // answer, by idempotency key
	late    []request                     // on their way
	billed  int64                         // on all invoices
	subs    int
}

type request struct {
	item  usage.Item
	key   string
	total int64
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// month is the start of a period: the nth.
func month(n int) time.Time { return epoch.AddDate(0, n, 0) }

func (s *stripe) item() string { return fmt.Sprint("si_", s.subs) }

func (s *stripe) subscribe(now int) {
	s.subs++
	s.sub = &plan.Subscription{ID: fmt.Sprint("sub_", s.subs), CurrentPeriodStart: month(now), CurrentPeriodEnd: month(now + 1)}
	s.periods[s.item()] = []plan.UsagePeriod{{Start: month(now), End: month(now + 1)}}
}

func (s *stripe) turn(now int) {
	s.invoice("in")
	s.sub.CurrentPeriodStart, s.sub.CurrentPeriodEnd = month(now), month(now+1)
	s.periods[s.item()] = append([]plan.UsagePeriod{{Start: month(now), End: month(now + 1)}}, s.periods[s.item()]...)
}

func (s *stripe) invoice(id string) {
	period := &s.periods[s.item()][0]
	period.InvoiceID = id
	s.billed += period.Total
}

func (s *stripe) cancel(invoiced bool) {
	if invoiced {
		s.invoice("in")
	}
	s.sub = nil
}

// take is a request that has arrived. Only what was executed is remembered under its key.
func (s *stripe) take(r request) bool {
	if s.seen[r.key] {
		return true
	}
	if s.sub == nil || r.item.SubscriptionID != s.sub.ID || !r.item.Start.Equal(s.sub.CurrentPeriodStart) {
		return false
	}
	s.periods[r.item.ID][0].Total = r.total
	s.seen[r.key] = true
	return true
}

// world is a tenant, Stripe and what billing has written down.
type world struct {
	stripe
	ledger   usage.Ledger
	included float64
	now      int // month
	// by the periods that were closed
	billed        int64   // of all lives
	billedInLife  float64 // of this one
	coveredInLife float64
	// A new life's total came too late to replace the old one's: the old one's bill counts for the new life.
	credited bool
}

func (w *world) holder(item usage.Item) *plan.Subscription {
	if w.sub != nil && item.SubscriptionID == w.sub.ID {
		return w.sub
	}
	return nil
}

// ask sends what the item was written down to be sent.
func (w *world) ask(t *rapid.T, item *usage.Item) (answered bool) {
	r := request{*item, item.Key(), item.Quantity}
	switch rapid.SampledFrom([]string{"ok", "answer lost", "request lost", "request late"}).Draw(t, "outcome") {
	case "ok":
		*item = item.Answered(w.take(r))
		return true
	case "answer lost":
		w.take(r)
	case "request late":
		w.late = append(w.late, r)
	}
	return false
}

// report does what the reporter does, and stops at the first answer that is lost.
func (w *world) report(t *rapid.T) (done bool) {
	done = true
	var kept []usage.Item
	for i := range w.ledger.Items {
		item := &w.ledger.Items[i]
		if item.State == usage.Sent && !w.ask(t, item) {
			return false
		}
		s := w.holder(*item)
		if !item.Over(s) {
			kept = append(kept, *item)
			continue
		}
		closed, err := item.Close(w.periods[item.ID], s, w.ledger.Open(*item))
		if errors.Is(err, usage.ErrUnsettled) {
			item.Gone += time.Hour
			kept, done = append(kept, *item), false
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		w.ledger.Settle(*item, closed)
		for _, c := range closed {
			w.billed += c.Billed
			if item.Life == w.ledger.Life {
				w.billedInLife += float64(c.Billed)
				w.coveredInLife += c.Covered
				w.credited = w.credited || item.Life > 0 && item.State == usage.Refused
			}
		}
		if s != nil {
			*item = item.In(*s)
			kept = append(kept, *item)
		} else {
			item.Quantity, item.Life = 0, -1 // gone: nobody asks for it again
		}
	}
	w.ledger.Items = kept
	return w.send(t) && done
}

func (w *world) send(t *rapid.T) bool {
	if w.sub == nil {
		return true
	}
	at := -1
	for i := range w.ledger.Items {
		if w.ledger.Items[i].ID == w.item() {
			at = i
		}
	}
	if at < 0 {
		w.ledger.Items = append(w.ledger.Items, usage.Item{ID: w.item(), Metric: metric, Life: w.ledger.Life}.In(*w.sub))
		at = len(w.ledger.Items) - 1
	}
	item := &w.ledger.Items[at]
	item.Included = max(item.Included, w.included)
	total, outdated := w.ledger.Total(*item)
	if !outdated {
		return true
	}
	*item = item.Send(total, w.ledger.Life)
	return w.ask(t, item)
}

func (w *world) settle(t *rapid.T) {
	for !w.report(t) {
	}
}

// TestInvoicesAddUpToUse is the promise: whatever is lost, late or repeated, and whenever periods turn, all invoices
// together bill what was counted, but for what plans cover.
func TestInvoicesAddUpToUse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{
			stripe: stripe{periods: map[string][]plan.UsagePeriod{}, seen: map[string]bool{}},
			ledger: usage.Ledger{Used: map[string]float64{}, Settled: map[string]float64{}},
		}
		w.subscribe(0)
		t.Repeat(map[string]func(*rapid.T){
			"use": func(t *rapid.T) {
				if w.sub != nil { // without a subscription, use is not counted to be charged
					w.ledger.Used[metric] += float64(rapid.IntRange(1, 400).Draw(t, "quarters")) / 4
				}
			},
			"report": func(t *rapid.T) { w.report(t) },
			"arrive": func(t *rapid.T) {
				if len(w.late) > 0 {
					i := rapid.IntRange(0, len(w.late)-1).Draw(t, "request")
					w.take(w.late[i])
				}
			},
			"change plan": func(t *rapid.T) { w.included = rapid.SampledFrom([]float64{0, 10, 60.5}).Draw(t, "included") },
			"turn": func(*rapid.T) {
				if w.now++; w.sub != nil {
					w.turn(w.now)
				}
			},
			"cancel": func(t *rapid.T) {
				if w.sub != nil {
					w.cancel(rapid.Bool().Draw(t, "invoiced"))
				}
			},
			"subscribe": func(*rapid.T) {
				if w.sub == nil {
					w.now++
					w.subscribe(w.now)
				}
			},
			"begin anew": func(*rapid.T) {
				w.ledger.Life++
				w.ledger.Used, w.ledger.Settled = map[string]float64{}, map[string]float64{}
				w.billedInLife, w.coveredInLife, w.credited = 0, 0, false
			},
		})
		if w.sub == nil {
			w.subscribe(w.now)
		}
		w.settle(t)
		w.now++
		w.turn(w.now)
		for _, r := range w.late { // whatever still arrives changes nothing any more
			w.take(r)
		}
		w.settle(t)
		if w.stripe.billed != w.billed {
			t.Errorf("invoices bill %d, the ledger says %d", w.stripe.billed, w.billed)
		}
		open := w.ledger.Used[metric] - w.billedInLife - w.coveredInLife
		if open < 0 && !w.credited || open >= 1 {
			t.Errorf("used %v, billed %v, covered %v: %v left, want less than a unit",
				w.ledger.Used[metric], w.billedInLife, w.coveredInLife, open)
		}
	})
}

func TestRunningTotalIsChargedByItsLevelInEachPeriod(t *testing.T) {
	l := usage.Ledger{Used: map[string]float64{usage.Documents: 40}, Settled: map[string]float64{}}
	item := usage.Item{ID: "si", Metric: usage.Documents, Start: month(0), End: month(1), Included: 15, Quantity: 25, State: usage.Taken}
	l.Items = []usage.Item{item}
	next := plan.Subscription{CurrentPeriodStart: month(1), CurrentPeriodEnd: month(2)}
	closed, err := item.Close([]plan.UsagePeriod{{Start: month(0), End: month(1), Total: 25}}, &next, l.Open(item))
	if err != nil || len(closed) != 1 || closed[0].Billed != 25 {
		t.Fatalf("closed %+v, %v", closed, err)
	}
	l.Settle(item, closed)
	item = item.In(next)
	item.Included = 15
	if total, outdated := l.Total(item); total != 25 || !outdated {
		t.Errorf("the next period is told %d, %v; the documents are still there", total, outdated)
	}
}

func TestPeriodIsNotClosedByGuesses(t *testing.T) {
	item := usage.Item{ID: "si", Metric: metric, Start: month(0), End: month(1), Quantity: 7, State: usage.Taken}
	renewed := &plan.Subscription{CurrentPeriodStart: month(1), CurrentPeriodEnd: month(2)}
	january := plan.UsagePeriod{Start: month(0), End: month(1), Total: 5}
	invoiced := january
	invoiced.InvoiceID = "in"
	waited := item
	waited.Gone = 3 * time.Hour
	for name, tt := range map[string]struct {
		item    usage.Item
		s       *plan.Subscription
		periods []plan.UsagePeriod
		want    int64 // -1: not certain yet
	}{
		"Stripe says less than it was sent": {item, renewed, []plan.UsagePeriod{{Start: month(1), End: month(2)}, january}, 5},
		"Stripe lists the new period alone": {item, renewed, []plan.UsagePeriod{{Start: month(1), End: month(2), Total: 3}}, -1},
		"ended with an invoice":             {item, nil, []plan.UsagePeriod{invoiced}, 5},
		"ended, no invoice yet":             {item, nil, []plan.UsagePeriod{january}, -1},
		"ended, no invoice at all":          {waited, nil, []plan.UsagePeriod{january}, 0},
		"ended, and Stripe lists nothing":   {item, nil, nil, -1},
		"ended, nothing after a while":      {waited, nil, nil, 0},
	} {
		closed, err := tt.item.Close(tt.periods, tt.s, 100)
		switch {
		case tt.want < 0 && !errors.Is(err, usage.ErrUnsettled):
			t.Errorf("%s: closed %+v, %v", name, closed, err)
		case tt.want >= 0 && (err != nil || len(closed) != 1 || closed[0].Billed != tt.want):
			t.Errorf("%s: closed %+v, %v, want %d", name, closed, err, tt.want)
		}
	}
}

func TestWhatStripeForgetsIsTakenForBilled(t *testing.T) {
	item := usage.Item{ID: "si", Metric: metric, Start: month(0), End: month(1), Included: 10, Quantity: 7, State: usage.Taken}
	if closed := item.Assume(20); closed[0].Billed != 7 || closed[0].Covered != 10 {
		t.Errorf("closed %+v", closed)
	}
}

func TestReached(t *testing.T) {
	limited := plans.Plan{Name: "starter", Limits: plans.Limits{Queries: 100, StorageGB: 0.1}}
	u := events.UsageUpdated{Queries: 80, Documents: 1000, StorageGB: 0.25, Period: "2026-01"}
	got := usage.Reached(u, limited)
	want := []events.UsageThresholdReached{
		{Metric: "queries", Percent: 80, Usage: 80, Limit: 100, Plan: "starter", Period: "2026-01"},
		{Metric: "storage_gb", Percent: 80, Usage: 0.25, Limit: 0.1, Plan: "starter"},
		{Metric: "storage_gb", Percent: 100, Usage: 0.25, Limit: 0.1, Plan: "starter"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("reached %+v, want %+v", got, want)
	}
	u = events.UsageUpdated{Queries: 79}
	if got := usage.Reached(u, limited); got != nil {
		t.Errorf("reached %+v", got)
	}
}
