package store

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/billing/internal/plan"
)

// surveyChunk is how many subscriptions are copied at once.
const surveyChunk = 500

// Life returns one life as billing has it, without what is live at Stripe, and its account. Read before and after a look
// at Stripe, two equal ones (see SameAs) show that nothing has moved in between.
func (s *Store) Life(ctx context.Context, id LifeID) (plan.Life, Account, error) {
	if id.Generation == 0 {
		account, err := s.AccountOf(ctx, id.CustomerID)
		account.CustomerID = id.CustomerID
		return plan.Life{}, account, err
	}
	var l plan.Life
	a, age, err := agreement(ctx, s.db, id.Tenant)
	if err != nil {
		return l, Account{}, err
	}
	l.Agreement, l.Age = a.Of(id.Generation), age
	l.Busy, err = s.exists(ctx, `works WHERE tenant = $1 AND generation = $2 AND done_at IS NULL
		AND NOT starts_with(id, '`+curing+`')`, id.Tenant, id.Generation)
	if err != nil {
		return l, Account{}, err
	}
	account, err := s.Account(ctx, id.Tenant, id.Generation)
	l.Belief = account.Belief
	return l, account, err
}

// SameAs reports whether two reads of an account found the same.
func (a Account) SameAs(other Account) bool {
	return a.Tenant == other.Tenant && a.CustomerID == other.CustomerID && a.version == other.version
}

// Survey holds everything that Stripe has live against everything that is agreed: it calls visit for each life, and for
// each customer that is nobody's.
//
// The subscriptions are put into a table first, and PostgreSQL brings both sides together on its disk: this process
// holds one life at a time, however many there are, and Stripe is asked once for a hundred subscriptions and not once for
// each tenant. No transaction is open meanwhile, since Stripe may be slow.
func (s *Store) Survey(ctx context.Context, live iter.Seq2[plan.Subscription, error], visit func(LifeID, plan.Life) error) error {
	var id int64
	if err := s.db.QueryRow(ctx, `SELECT nextval('surveys')`).Scan(&id); err != nil {
		return fmt.Errorf("begin a survey: %w", err)
	}
	defer s.forgetSurvey(context.WithoutCancel(ctx), id)
	if err := s.copyLive(ctx, id, live); err != nil {
		return err
	}
	rows, err := s.db.Query(ctx, survey, id)
	if err != nil {
		return fmt.Errorf("survey: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		id, l, err := scanLife(rows)
		if err != nil {
			return fmt.Errorf("survey: %w", err)
		}
		if err := visit(id, l); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("survey: %w", err)
	}
	return nil
}

// forgetSurvey clears up behind a survey, and behind any that was cut off.
func (s *Store) forgetSurvey(ctx context.Context, id int64) {
	_, err := s.db.Exec(ctx, `DELETE FROM survey_subscriptions WHERE survey = $1 OR taken_at < now() - interval '1 day'`, id)
	if err != nil {
		slog.WarnContext(ctx, "a survey of Stripe's subscriptions is not cleared up; the next one will do it", "error", err)
	}
}

func (s *Store) copyLive(ctx context.Context, id int64, live iter.Seq2[plan.Subscription, error]) error {
	chunk := make([][]any, 0, surveyChunk)
	flush := func() error {
		_, err := s.db.CopyFrom(ctx, pgx.Identifier{"survey_subscriptions"},
			[]string{"survey", "customer_id", "tenant", "subscription"}, pgx.CopyFromRows(chunk))
		if err != nil {
			return fmt.Errorf("copy what is live: %w", err)
		}
		chunk = chunk[:0]
		return nil
	}
	for subscription, err := range live {
		if err != nil {
			return err
		}
		content, err := json.Marshal(subscription)
		if err != nil {
			return fmt.Errorf("copy %s: %w", subscription.ID, err)
		}
		chunk = append(chunk, []any{id, subscription.CustomerID, subscription.Tenant, string(content)})
		if len(chunk) == surveyChunk {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	// A join that was planned for an empty table takes for ever.
	if _, err := s.db.Exec(ctx, `ANALYZE survey_subscriptions`); err != nil {
		return fmt.Errorf("count what is live: %w", err)
	}
	return nil
}

const survey = `
	WITH found AS (
		SELECT customer_id, min(tenant) FILTER (WHERE tenant <> '') AS tenant, json_agg(subscription) AS subscriptions
		FROM survey_subscriptions WHERE survey = $1 GROUP BY customer_id
	)
	SELECT coalesce(a.tenant, g.tenant, f.tenant, ''), coalesce(a.generation, g.generation, 0),
		CASE WHEN coalesce(a.tenant, g.tenant) IS NULL THEN f.customer_id ELSE '' END,
		coalesce(l.generation, 0), coalesce(l.plan, ''), coalesce(l.state, ''), coalesce(l.pending_plan, ''),
		coalesce(l.operation, ''), extract(epoch FROM now() - coalesce(l.changed_at, now()))::float8,
		coalesce(a.subscription_id, ''), coalesce(a.plan, ''), coalesce(a.status, ''), coalesce(a.cancel_at_period_end, false),
		a.current_period_end, coalesce(a.scheduled_plan, ''), coalesce(a.standing, ''), coalesce(a.retired, false),
		f.subscriptions
	FROM accounts a FULL JOIN agreements g ON g.tenant = a.tenant AND g.generation = a.generation
		LEFT JOIN agreements l ON l.tenant = coalesce(a.tenant, g.tenant)
		FULL JOIN found f ON f.customer_id = a.customer_id`

func scanLife(rows pgx.Rows) (id LifeID, l plan.Life, err error) {
	var age float64
	var end *time.Time
	var live []byte
	a, b := &l.Agreement, &l.Belief
	err = rows.Scan(&id.Tenant, &id.Generation, &id.CustomerID,
		&a.Generation, &a.Plan, &a.State, &a.PendingPlan, &a.Operation, &age,
		&b.SubscriptionID, &b.Plan, &b.Status, &b.CancelAtPeriodEnd, &end, &b.ScheduledPlan, &b.Standing, &b.Retired, &live)
	if err != nil {
		return id, l, err
	}
	if id.Generation > 0 {
		a.Tenant = id.Tenant
		*a = a.Of(id.Generation)
	}
	l.Age = seconds(age)
	if end != nil {
		b.CurrentPeriodEnd = end.UTC()
	}
	if live != nil {
		err = json.Unmarshal(live, &l.Live)
	}
	return id, l, err
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
