package bench

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
)

// draft is how long Stripe leaves a renewal's invoice a draft before it charges the card.
const draft = time.Hour

// failures measures how long a tenant is in after the first webhook that tells of its unpaid renewal was taken: through
// billing's look at Stripe, the lifecycle's decision and the bus to a gate, without any grace.
func (m *money) failures(ctx context.Context) error {
	ends, err := m.renew(ctx)
	if err != nil {
		return err
	}
	out := map[string]time.Time{}
	for _, id := range m.tenants {
		if err := m.advanceTo(ctx, ends[id].Add(draft+time.Second)); err != nil {
			return err
		}
		seen, err := m.until(ctx, []string{id}, http.StatusPaymentRequired)
		if err != nil {
			return err
		}
		out[id] = seen[id]
	}
	if err := m.tellFailures(ctx, "unpaid to 402, one by one", ends, out); err != nil {
		return err
	}

	if err := m.pay(ctx); err != nil {
		return err
	}
	if ends, err = m.renew(ctx); err != nil {
		return err
	}
	if err := m.advanceTo(ctx, ends[m.tenants[len(m.tenants)-1]].Add(draft+time.Second)); err != nil {
		return err
	}
	if out, err = m.until(ctx, m.tenants, http.StatusPaymentRequired); err != nil {
		return err
	}
	return m.tellFailures(ctx, fmt.Sprintf("unpaid to 402, %d at once", len(m.tenants)), ends, out)
}

// tellFailures prints how long after its webhook each tenant was out.
func (m *money) tellFailures(ctx context.Context, what string, ends, out map[string]time.Time) error {
	accepted, err := m.accepted(ctx, ends)
	if err != nil {
		return err
	}
	took := latencies{}
	for id, at := range out {
		took = append(took, at.Sub(accepted[id]))
	}
	m.print(what, took, "")
	return nil
}

// renew lets every card decline and all periods end, and returns when they ended. The invoices are drafts then.
func (m *money) renew(ctx context.Context) (ends map[string]time.Time, err error) {
	if err := m.cards(ctx, "decline"); err != nil {
		return nil, err
	}
	if ends, err = m.periodEnds(ctx); err != nil {
		return nil, err
	}
	if err := m.advanceTo(ctx, ends[m.tenants[len(m.tenants)-1]].Add(time.Second)); err != nil {
		return nil, err
	}
	// Every renewal is known before the first card is tried: what comes then is about the payment.
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		var old int
		err := m.db.QueryRow(ctx, `SELECT count(*) FROM billing.accounts WHERE current_period_end <= $1`, ends[m.tenants[len(m.tenants)-1]]).Scan(&old)
		if err != nil || old == 0 {
			return ends, err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("%d renewals are not known: %w", old, ctx.Err())
		}
	}
}

func (m *money) periodEnds(ctx context.Context) (map[string]time.Time, error) {
	return m.times(ctx, `SELECT tenant, current_period_end FROM billing.accounts`)
}

// accepted is when the first webhook that tells of a tenant's unpaid invoice was taken: Stripe made it when the draft's
// hour was over.
func (m *money) accepted(ctx context.Context, ends map[string]time.Time) (map[string]time.Time, error) {
	var tenants []string
	var charged []time.Time
	for id, end := range ends {
		tenants, charged = append(tenants, id), append(charged, end.Add(draft))
	}
	return m.times(ctx, `SELECT tenant, min(w.received_at) FROM unnest($1::text[], $2::timestamptz[]) AS due (tenant, charged)
		JOIN billing.accounts USING (tenant) JOIN billing.webhook_events w USING (customer_id)
		WHERE w.created >= charged AND w.type IN ('invoice.payment_failed', 'customer.subscription.updated') GROUP BY tenant`,
		tenants, charged)
}

func (m *money) times(ctx context.Context, query string, args ...any) (map[string]time.Time, error) {
	rows, err := m.db.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	found := map[string]time.Time{}
	var id string
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &at}, func() error { found[id] = at; return nil })
	return found, err
}

// pay lets everybody pay what is open, and waits until all are back.
func (m *money) pay(ctx context.Context) error {
	if err := m.cards(ctx, "ok"); err != nil {
		return err
	}
	for _, id := range m.tenants {
		if err := m.stripe(ctx, "/pay", map[string]string{"tenant": id}); err != nil {
			return err
		}
	}
	_, err := m.until(ctx, m.tenants, http.StatusOK)
	return err
}
