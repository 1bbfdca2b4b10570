package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tenure/shared/client"
	"tenure/shared/events"
	"tenure/shared/testkit"
)

// digested waits until all that Stripe told has reached the lifecycle, and come to its ends.
func (w *moneyWorld) digested() {
	w.t.Helper()
	why := ""
	w.t.Cleanup(func() {
		if w.t.Failed() && why != "" {
			w.t.Logf("not digested: %s", why)
		}
	})
	testkit.WaitFor(w.t, 2*time.Minute, "Stripe's news to be acted on", func() bool {
		if why = w.unsettled(w.db); why == "" { // what the news set off counts too
			why = w.undigested()
		}
		return why == ""
	})
}

// undigested names something on the way from Stripe over billing to the lifecycle, or "".
func (w *moneyWorld) undigested() string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for what, query := range map[string]string{
		"billing has not read Stripe's news of": `SELECT s.stream FROM billing.streams s LEFT JOIN billing.inbox_positions p
			ON p.service = 'stripe' AND 'stripe/' || p.subject = s.stream
			WHERE s.stream LIKE 'stripe/%' AND s.version > coalesce(p.sequence, 0) LIMIT 1`,
		"the lifecycle has not read billing's facts of": `SELECT s.stream FROM billing.streams s LEFT JOIN lifecycle.inbox_positions p
			ON p.service = 'billing' AND p.subject = s.stream
			WHERE s.stream NOT LIKE '%/%' AND s.version > coalesce(p.sequence, 0) LIMIT 1`,
		"billing is at work on": `SELECT tenant FROM billing.works WHERE done_at IS NULL LIMIT 1`,
	} {
		var stream string
		err := w.db.QueryRow(ctx, query).Scan(&stream)
		if !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Sprintf("%s %s (%v)", what, stream, err)
		}
	}
	return w.untaken(ctx)
}

// untaken names an event of Stripe's that billing has not got, by webhook or by poll.
func (w *moneyWorld) untaken(ctx context.Context) string {
	var all []struct {
		ID      string `json:"id"`
		Type    string `json:"type"`
		Pending int    `json:"pending_webhooks"`
	}
	if err := w.sim(ctx, "GET", "/events", nil, &all); err != nil {
		return err.Error()
	}
	for _, e := range all {
		if e.Pending > 0 && strings.HasPrefix(e.Type, "customer.subscription.") || strings.HasPrefix(e.Type, "invoice.paid") {
			var taken bool
			err := w.db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM billing.webhook_events WHERE event_id = $1)`, e.ID).Scan(&taken)
			if err != nil || !taken {
				return fmt.Sprintf("Stripe's event %s %s (%v)", e.ID, e.Type, err)
			}
		}
	}
	return ""
}

// check holds everything that money left behind against the plan history.
func (w *moneyWorld) check() {
	w.t.Helper()
	checkLogs(w.t, w.db)
	for _, p := range w.players {
		w.checkAccount(p)
		w.checkAccess(p)
	}
	status, body := w.call("GET", w.at.HTTP+"/v1/billing/drift", "")
	require.Equal(w.t, http.StatusOK, status, body)
	var drift struct {
		Items []json.RawMessage `json:"items"`
	}
	require.NoError(w.t, json.Unmarshal([]byte(body), &drift))
	if len(drift.Items) > 0 {
		w.t.Errorf("Stripe and the log differ: %s", drift.Items)
	}
	w.checkNothingWaits()
}

// checkAccount compares what a tenant has paid, and what it will pay, with its plan history.
func (w *moneyWorld) checkAccount(p *player) {
	w.t.Helper()
	want := w.ledger(p.id)
	if got := w.taken(p.id); got != want.cents {
		w.t.Errorf("%s: Stripe took %d cents, the plan history comes to %d", p.id, got, want.cents)
	}
	var live []string
	for _, sub := range w.subscriptions(p.id) {
		if slices.Contains([]string{"active", "trialing", "past_due", "unpaid", "incomplete"}, sub.Status) {
			live = append(live, sub.plan())
		}
	}
	var due []string
	if want.live {
		due = []string{want.charged}
	}
	if !slices.Equal(live, due) {
		w.t.Errorf("%s: Stripe charges for %v, the plan history comes to %v", p.id, live, due)
	}
}

// checkAccess holds that who pays is in, and that nobody is kept out for money: everything is paid.
func (w *moneyWorld) checkAccess(p *player) {
	w.t.Helper()
	t := untilAnswered(w.context(time.Minute), func() (client.Tenant, error) { return w.api.Tenant(w.context(10*time.Second), p.id) })
	want := http.StatusOK
	switch t.State {
	case "active", "trialing":
	case "suspended", "deleting":
		want = http.StatusForbidden // by an operator's block, or by its own wish
	case "abandoned", "":
		return
	case "pending_payment":
		want = http.StatusForbidden
	default:
		w.t.Errorf("%s: it is %s at the end", p.id, t.State)
		return
	}
	status, body := w.call("GET", w.at.HTTP+"/v1/access/"+p.id+"?capability=query", "")
	if status != want {
		w.t.Errorf("%s: it is %s on %s, and access answers %d: %s", p.id, t.State, t.Plan, status, body)
	}
}

// checkNothingWaits holds that no invoice item waits for an invoice that nobody expects.
func (w *moneyWorld) checkNothingWaits() {
	w.t.Helper()
	waiting := listed(w.system, "/v1/invoiceitems?pending=true&", func(i customer) string { return i.ID })
	require.Empty(w.t, waiting, "pending invoice items")
}

// tellHistory prints what a player did, what became of it, and both sums.
func (w *moneyWorld) tellHistory(p *player) {
	w.tell("DELETE", "/faults", nil, nil) // Stripe is asked as billing asks it
	var text strings.Builder
	fmt.Fprintf(&text, "the history of %s\n", p.id)
	for _, line := range p.did {
		fmt.Fprintln(&text, "  ", line)
	}
	times := w.noted[p.id]
	for i, e := range readStream(w.t, w.db, p.id) {
		at := "not settled yet    "
		if i < len(times) {
			at = times[i].Format(time.DateTime)
		}
		if _, name := events.SplitType(e.Type); name != "step.requested" && name != "step.done" && name != "command.refused" {
			f := fact{}
			_ = json.Unmarshal(e.Data, &f) // whatever it tells
			fmt.Fprintf(&text, "  %s %3d %s %s, %s: %.80s\n", at, e.Sequence, name, f.Plan, f.To, f.Reason)
		}
	}
	fmt.Fprintln(&text, "  by the plan history:", strings.Join(w.ledger(p.id).book, "\n    "))
	fmt.Fprintf(&text, "  by Stripe: %+v %+v\n", w.charges(p.id), w.customers(p.id))
	for _, i := range w.invoices(p.id) {
		fmt.Fprintf(&text, "    %s %s %s %d\n", i.ID, i.Status, i.Reason, i.Total)
	}
	w.t.Log(text.String())
}
