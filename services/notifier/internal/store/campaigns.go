package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/notifier/internal/campaign"
	"tenure/services/notifier/internal/message"
	"tenure/shared/events"
	"tenure/shared/pg"
)

// Profile reads what campaigns know of a tenant and keeps everybody else from changing it, or from deciding anything by
// it, until the transaction ends. The zero value of a tenant that nobody has heard of.
func Profile(ctx context.Context, tx pgx.Tx, tenant string) (p campaign.Profile, err error) {
	err = tx.QueryRow(ctx, `SELECT profile FROM tenants WHERE tenant_id = $1 FOR UPDATE`, tenant).Scan(&p)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return p, fmt.Errorf("read the profile of %s: %w", tenant, err)
	}
	return p, nil
}

// SaveProfile stores a profile. The life itself is begin's to note.
func SaveProfile(ctx context.Context, tx pgx.Tx, tenant string, p campaign.Profile) error {
	_, err := tx.Exec(ctx, `INSERT INTO tenants (tenant_id, generation, born_at, profile) VALUES ($1, $2, $3, $4)
		ON CONFLICT (tenant_id) DO UPDATE SET profile = excluded.profile`, tenant, p.Generation, p.BornAt, p)
	if err != nil {
		return fmt.Errorf("save the profile of %s: %w", tenant, err)
	}
	return nil
}

// Enrollment is a campaign.Enrollment as it is stored.
type Enrollment struct {
	campaign.Enrollment
	EventID, CorrelationID string
}

const enrollmentColumns = `campaign, tenant_id, generation, trigger, event_id, correlation_id, at, variant, holdout, next`

func scanEnrollment(row pgx.CollectableRow) (e Enrollment, err error) {
	return e, row.Scan(&e.Campaign, &e.Tenant, &e.Generation, &e.Trigger, &e.EventID, &e.CorrelationID, &e.At, &e.Variant, &e.Holdout, &e.Next)
}

// Enroll stores an enrollment. A tenant is taken in once in each of its lives.
func Enroll(ctx context.Context, tx pgx.Tx, e campaign.Enrollment, because events.Event, due time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO enrollments (campaign, tenant_id, generation, trigger, event_id, correlation_id, at, variant, holdout, due_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`,
		e.Campaign, e.Tenant, e.Generation, e.Trigger, because.ID, because.CorrelationID, e.At, e.Variant, e.Holdout, due)
	if err != nil {
		return fmt.Errorf("enroll %s in %s: %w", e.Tenant, e.Campaign, err)
	}
	return nil
}

// DueEnrollment names the enrollment that has waited longest for a decision; false when none is due. It locks nothing:
// lock the tenant's profile first, then read the enrollment with RunningEnrollment.
func DueEnrollment(ctx context.Context, q pg.Querier) (e campaign.Enrollment, found bool, err error) {
	err = q.QueryRow(ctx, `SELECT campaign, tenant_id, generation FROM enrollments e WHERE state = 'running' AND due_at <= now()
		ORDER BY due_at LIMIT 1`).Scan(&e.Campaign, &e.Tenant, &e.Generation)
	if errors.Is(err, pgx.ErrNoRows) {
		return e, false, nil
	}
	if err != nil {
		return e, false, fmt.Errorf("look for a campaign's next step: %w", err)
	}
	return e, true, nil
}

// RunningEnrollment reads an enrollment that is due, under the lock of its tenant's profile; false when another process
// has dealt with it, or an event has.
func RunningEnrollment(ctx context.Context, tx pgx.Tx, named campaign.Enrollment) (Enrollment, bool, error) {
	rows, err := tx.Query(ctx, `SELECT `+enrollmentColumns+` FROM enrollments
		WHERE campaign = $1 AND tenant_id = $2 AND generation = $3 AND state = 'running' AND due_at <= now() FOR UPDATE`,
		named.Campaign, named.Tenant, named.Generation)
	if err != nil {
		return Enrollment{}, false, fmt.Errorf("read an enrollment: %w", err)
	}
	e, err := pgx.CollectExactlyOneRow(rows, scanEnrollment)
	if errors.Is(err, pgx.ErrNoRows) {
		return Enrollment{}, false, nil
	}
	if err != nil {
		return Enrollment{}, false, fmt.Errorf("read an enrollment: %w", err)
	}
	return e, true, nil
}

// Enrollments lists a tenant's of one life, running or stopped.
func Enrollments(ctx context.Context, q pg.Querier, tenant string, generation int64, running bool) ([]Enrollment, error) {
	rows, err := q.Query(ctx, `SELECT `+enrollmentColumns+` FROM enrollments
		WHERE tenant_id = $1 AND generation = $2 AND (state = 'running' OR NOT $3) ORDER BY campaign`, tenant, generation, running)
	if err != nil {
		return nil, fmt.Errorf("list the enrollments of %s: %w", tenant, err)
	}
	return pgx.CollectRows(rows, scanEnrollment)
}

// MoveEnrollment stores where an enrollment goes on, and when.
func MoveEnrollment(ctx context.Context, tx pgx.Tx, e campaign.Enrollment, due time.Time) error {
	return changeEnrollment(ctx, tx, e, `next = $4, due_at = $5`, e.Next, due)
}

// StopEnrollment ends an enrollment for good; what it has asked for and has not left yet never leaves.
func StopEnrollment(ctx context.Context, tx pgx.Tx, e campaign.Enrollment, reason string) error {
	if err := changeEnrollment(ctx, tx, e, `state = 'stopped', reason = $4`, reason); err != nil || reason == campaign.ReasonDone {
		return err
	}
	_, err := tx.Exec(ctx, `UPDATE messages SET state = 'superseded', ended_at = now() WHERE state IN ('held', 'queued')
		AND id IN (SELECT id FROM campaign_mails WHERE campaign = $1 AND tenant_id = $2 AND generation = $3)`, e.Campaign, e.Tenant, e.Generation)
	if err != nil {
		return fmt.Errorf("take back the mails of %s to %s: %w", e.Campaign, e.Tenant, err)
	}
	return nil
}

// NoteReturn records that an enrolled tenant is not lost any more, the first time.
func NoteReturn(ctx context.Context, tx pgx.Tx, e campaign.Enrollment, at time.Time, plan string) error {
	return changeEnrollment(ctx, tx, e, `returned_at = coalesce(returned_at, $4),
		returned_plan = CASE WHEN returned_at IS NULL THEN $5 ELSE returned_plan END`, at, plan)
}

func changeEnrollment(ctx context.Context, tx pgx.Tx, e campaign.Enrollment, set string, args ...any) error {
	_, err := tx.Exec(ctx, `UPDATE enrollments SET `+set+` WHERE campaign = $1 AND tenant_id = $2 AND generation = $3`,
		append([]any{e.Campaign, e.Tenant, e.Generation}, args...)...)
	if err != nil {
		return fmt.Errorf("change the enrollment of %s in %s: %w", e.Tenant, e.Campaign, err)
	}
	return nil
}

// Standing looks up what a decision about an enrollment depends on. offer is that of its next step; nobody else gives it
// away until the transaction ends.
func Standing(ctx context.Context, tx pgx.Tx, e campaign.Enrollment, offer string, since time.Time) (s campaign.Standing, err error) {
	if offer != "" {
		if _, err = tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('offer/' || $1, 0))`, offer); err != nil {
			return s, fmt.Errorf("lock the offer %s: %w", offer, err)
		}
	}
	err = tx.QueryRow(ctx, `SELECT
			coalesce((SELECT array_agg(at) FROM campaign_mails WHERE tenant_id = $2 AND at >= $5), '{}'),
			coalesce((SELECT bool_or(opened_at IS NOT NULL) FROM campaign_mails WHERE campaign = $1 AND tenant_id = $2 AND generation = $3), false),
			coalesce((SELECT bool_or(clicked_at IS NOT NULL) FROM campaign_mails WHERE campaign = $1 AND tenant_id = $2 AND generation = $3), false),
			(SELECT count(*) FROM campaign_mails WHERE offer = $4 AND $4 <> '' AND (used_at IS NOT NULL OR offer_until > now())),
			coalesce((SELECT reason FROM suppressions WHERE tenant_id = $2), '')`,
		e.Campaign, e.Tenant, e.Generation, offer, since).Scan(&s.Sent, &s.Opened, &s.Clicked, &s.Taken, &s.Suppressed)
	if err != nil {
		return s, fmt.Errorf("look up what %s was sent: %w", e.Tenant, err)
	}
	return s, nil
}

// CampaignMail is one mail of a campaign, and what came of it.
type CampaignMail struct {
	ID, Campaign, TenantID string
	Generation             int64
	Step, Variant          string
	// Offer by its name in the campaign file, Coupon at Stripe, Says in words; empty without one.
	Offer, Coupon, Says string
	OfferUntil          *time.Time
	ClickedAt, UsedAt   *time.Time
}

// campaignMailID is the same for the same step of the same life, whatever is decided twice.
func campaignMailID(e campaign.Enrollment, step string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "campaign\n%s\n%s\n%d\n%s", e.Campaign, e.Tenant, e.Generation, step))
	return hex.EncodeToString(sum[:16])
}

// SendCampaignMail stores a step's mail, once, to leave at once; from expires on it is too late for it.
func SendCampaignMail(ctx context.Context, tx pgx.Tx, e Enrollment, step string, offer campaign.Offer, until, expires time.Time) error {
	id := campaignMailID(e.Enrollment, step)
	tag, err := tx.Exec(ctx, `INSERT INTO campaign_mails (id, campaign, tenant_id, generation, step, variant, offer, coupon, says, offer_until)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`,
		id, e.Campaign, e.Tenant, e.Generation, step, e.Variant, offer.Name, offer.Coupon, offer.Says, timeOrNull(until))
	if err != nil {
		return fmt.Errorf("store step %s of %s to %s: %w", step, e.Campaign, e.Tenant, err)
	}
	if tag.RowsAffected() == 0 {
		return nil
	}
	facts := message.Facts{Campaign: e.Campaign, Step: step}
	_, err = tx.Exec(ctx, `INSERT INTO messages (id, tenant_id, template, facts, event_id, correlation_id, recipient, state, generation, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 'queued', $8, $9)`,
		id, e.Tenant, string(message.Campaign), facts, e.EventID, e.CorrelationID, string(Owner), e.Generation, expires)
	if err != nil {
		return fmt.Errorf("store step %s of %s to %s: %w", step, e.Campaign, e.Tenant, err)
	}
	return nil
}

// CampaignMailByID reads a mail, or nil.
func CampaignMailByID(ctx context.Context, q pg.Querier, id string) (*CampaignMail, error) {
	rows, err := q.Query(ctx, `SELECT id, campaign, tenant_id, generation, step, variant, offer, coupon, says, offer_until, clicked_at, used_at
		FROM campaign_mails WHERE id = $1`, id)
	if err != nil {
		return nil, fmt.Errorf("read campaign mail %s: %w", id, err)
	}
	m, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByPos[CampaignMail])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read campaign mail %s: %w", id, err)
	}
	return m, nil
}

// EnrollmentOf reads the enrollment that a mail is a step of.
func EnrollmentOf(ctx context.Context, q pg.Querier, m *CampaignMail) (Enrollment, error) {
	rows, err := q.Query(ctx, `SELECT `+enrollmentColumns+` FROM enrollments WHERE campaign = $1 AND tenant_id = $2 AND generation = $3`,
		m.Campaign, m.TenantID, m.Generation)
	if err != nil {
		return Enrollment{}, fmt.Errorf("read the enrollment of mail %s: %w", m.ID, err)
	}
	return pgx.CollectExactlyOneRow(rows, scanEnrollment)
}

// Opened notes that a campaign mail was opened, the first time.
func Opened(ctx context.Context, q pg.Querier, id string) error {
	return note(ctx, q, `UPDATE campaign_mails SET opened_at = coalesce(opened_at, now()) WHERE id = $1`, id)
}

// Clicked notes that a campaign mail's link was followed, the first time. Who follows a link has opened the mail.
func Clicked(ctx context.Context, q pg.Querier, id string) error {
	return note(ctx, q, `UPDATE campaign_mails SET clicked_at = coalesce(clicked_at, now()), opened_at = coalesce(opened_at, now()) WHERE id = $1`, id)
}

// OfferUsed notes that a campaign mail's offer was used, the first time.
func OfferUsed(ctx context.Context, q pg.Querier, id string) error {
	return note(ctx, q, `UPDATE campaign_mails SET used_at = coalesce(used_at, now()) WHERE id = $1 AND offer <> ''`, id)
}

func note(ctx context.Context, q pg.Querier, sql, id string) error {
	if _, err := q.Exec(ctx, sql, id); err != nil {
		return fmt.Errorf("note what came of campaign mail %s: %w", id, err)
	}
	return nil
}
