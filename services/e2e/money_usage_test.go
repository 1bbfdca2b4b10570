package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"tenure/shared/events"
	"tenure/shared/testkit"
)

const (
	usePublishers = 4
	useMessages   = 10_000 // of all publishers
	useRepeated   = 100    // of them
	usePlans      = `
plans:
  - name: free
  - name: starter
    price_cents: 4900
usage:
  - metric: embeddings
    cents: 0.25
`
)

// TestUsageOnTheInvoiceIsTheDistinctSum publishes uses from several publishers at once, some of them again by another one,
// and lets the period end: the invoice charges for each use once.
func TestUsageOnTheInvoiceIsTheDistinctSum(t *testing.T) {
	t.Parallel()
	plans := filepath.Join(t.TempDir(), "plans.yaml")
	require.NoError(t, os.WriteFile(plans, []byte(usePlans), 0o600))
	w := newMoneyWorld(t, "TENURE_PLANS="+plans, "TENURE_USAGE_REPORT_INTERVAL=500ms")
	w.clock(map[string]any{"freeze": false}) // Stripe takes no use that is ahead of its clock
	w.signUp("acme", "starter")
	end := w.periodEnd("acme")

	uses, sum := makeUses(t, rand.New(rand.NewPCG(firstSeed, 0)))
	w.publish(uses)
	testkit.WaitFor(t, time.Minute, "Stripe to be told of all uses", func() bool { return w.reported("acme") == sum })
	w.advance(end.Sub(w.advance(0)) + 61*time.Minute) // the draft's hour is over
	var renewal invoice
	testkit.WaitFor(t, time.Minute, "the renewal to be paid", func() bool {
		renewal = w.invoices("acme")[0]
		return renewal.Reason == "subscription_cycle" && renewal.Status == "paid"
	})

	charged := (sum*25 + 50) / 100 // to the cent
	quantities := map[string]int64{}
	for _, line := range renewal.Lines.Data {
		quantities[line.Price.LookupKey] = *line.Quantity
		if line.Price.LookupKey == "tenure_usage_embeddings" {
			require.Equal(t, charged, line.Amount)
		}
	}
	require.Equal(t, sum, quantities["tenure_usage_embeddings"], "%v", quantities)
	require.Equal(t, 4_900+4_900+charged, w.taken("acme"), "two months, and the uses of the first")
}

// makeUses makes the messages of each publisher, and the sum of what was used, each use counted once.
func makeUses(t *testing.T, dice *rand.Rand) (of [usePublishers][]events.Event, sum int64) {
	t.Helper()
	var distinct []events.Event
	for i := range useMessages - useRepeated {
		quantity := 1 + dice.Int64N(5)
		e, err := events.New(&events.UsageRecorded{Metric: "embeddings", Quantity: float64(quantity), Time: time.Now()}, "acme")
		require.NoError(t, err)
		e.ID, e.Source, e.Time, e.Actor = fmt.Sprintf("use-%d", i), "acme/app", time.Now(), "service:app"
		distinct, sum = append(distinct, e), sum+quantity
	}
	all := distinct
	for range useRepeated {
		all = append(all, pick(dice, distinct))
	}
	dice.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for i, e := range all {
		of[i%usePublishers] = append(of[i%usePublishers], e)
	}
	return of, sum
}

// publish sends each publisher's messages, all publishers at once. The messages carry no id for JetStream, which would
// drop those that are repeated soon: billing has to.
func (w *moneyWorld) publish(uses [usePublishers][]events.Event) {
	w.t.Helper()
	group, ctx := errgroup.WithContext(w.context(time.Minute))
	for _, own := range uses {
		group.Go(func() error { return publish(ctx, w.at.NATS, own) })
	}
	require.NoError(w.t, group.Wait())
}

func publish(ctx context.Context, url string, uses []events.Event) error {
	conn, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(256))
	if err != nil {
		return err
	}
	var confirmed []jetstream.PubAckFuture
	for _, e := range uses {
		body, err := events.Encode(e)
		if err != nil {
			return err
		}
		ack, err := js.PublishAsync("tenure.usage.acme", body, jetstream.WithStallWait(time.Minute))
		if err != nil {
			return err
		}
		confirmed = append(confirmed, ack)
	}
	for _, ack := range confirmed {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// periodEnd is when a tenant's paid period ends.
func (w *moneyWorld) periodEnd(tenant string) (end time.Time) {
	w.t.Helper()
	require.NoError(w.t, w.db.QueryRow(w.context(time.Minute), `SELECT current_period_end FROM billing.accounts WHERE tenant = $1`, tenant).Scan(&end))
	return end
}

// reported is what Stripe has been told that a tenant used in the current period.
func (w *moneyWorld) reported(tenant string) (total int64) {
	w.t.Helper()
	for _, sub := range w.subscriptions(tenant) {
		for _, item := range sub.Items.Data {
			if item.Price.LookupKey != "tenure_usage_embeddings" {
				continue
			}
			type summary struct {
				ID    string `json:"id"`
				Total int64  `json:"total_usage"`
			}
			periods := listed(w.system, "/v1/subscription_items/"+item.ID+"/usage_record_summaries?", func(s summary) string { return s.ID })
			total += periods[0].Total // the newest
		}
	}
	return total
}
