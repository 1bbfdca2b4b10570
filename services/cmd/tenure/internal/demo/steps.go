package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"tenure/services/cmd/tenure/internal/audit"
	"tenure/shared/client"
)

// switchMS is how long the sample takes to switch plans: long enough to try a second upgrade meanwhile.
const switchMS = 700

// shortRetention is the days of the second deletion, seconds here.
const shortRetention = 2

func (w *walk) steps() []step {
	return []step{
		{"sign-up", w.signUp},
		{"payment and provisioning", w.becomeActive},
		{"documents", w.addDocuments},
		{"upgrade under load", w.beginUpgrade},
		{"second upgrade refused", w.refuseSecondUpgrade},
		{"upgrade done", w.endUpgrade},
		{"export", w.export},
		{"encrypted export", w.encryptedExport},
		{"card declined at renewal", w.declineCard},
		{"card works again", w.payAgain},
		{"deletion, dry run", w.dryRun},
		{"deletion", w.delete},
		{"win-back", w.winBack},
		{"deletion, short retention", w.deleteShort},
		{"purge", w.purge},
		{"certificate", w.certificate},
		{"audit log", w.auditLog},
		{"mails", w.mails},
		{"money", w.money},
	}
}

func (w *walk) signUp(ctx context.Context) (string, error) {
	t, err := w.client.Register(ctx, client.Register{ID: w.tenant, Name: "Demo Ltd", Email: w.email, Plan: "starter"})
	if err != nil {
		return "", err
	}
	return "plan " + t.Plan, nil
}

func (w *walk) becomeActive(ctx context.Context) (string, error) {
	if _, err := w.until(ctx, "active"); err != nil {
		return "", err
	}
	if err := w.expectAccess(ctx, http.StatusOK); err != nil {
		return "", err
	}
	return w.newCharges(ctx, 1)
}

func (w *walk) addDocuments(ctx context.Context) (string, error) {
	const seeded = 250
	for _, name := range []string{"handbook", "roadmap", "minutes"} {
		status, err := w.sample(ctx, http.MethodPost, "/documents", map[string]any{"name": name, "content": "tenure " + name}, nil)
		if err != nil {
			return "", err
		}
		if status != http.StatusCreated {
			return "", fmt.Errorf("adding a document answers %d", status)
		}
		w.documents++
	}
	status, err := w.sample(ctx, http.MethodPost, "/seed", map[string]any{"documents": seeded, "bytes_each": 2000, "vectors": 100}, nil)
	if err != nil {
		return "", err
	}
	if status >= 300 {
		return "", fmt.Errorf("seeding answers %d", status)
	}
	w.documents += seeded
	return fmt.Sprintf("%d documents", w.documents), w.expectDocuments(ctx)
}

// expectDocuments wants the sample to hold what it was given.
func (w *walk) expectDocuments(ctx context.Context) error {
	var usage struct {
		Documents float64 `json:"documents"`
	}
	if _, err := w.sample(ctx, http.MethodGet, "/usage", nil, &usage); err != nil {
		return err
	}
	if int(usage.Documents) != w.documents {
		return fmt.Errorf("there are %v documents, not %d", usage.Documents, w.documents)
	}
	return nil
}

func (w *walk) beginUpgrade(ctx context.Context) (string, error) {
	_, err := call(ctx, http.MethodPost, w.at.HTTP+"/sample/_control", map[string]any{"switch_ms": switchMS, "drain": "always"}, nil)
	if err != nil {
		return "", err
	}
	w.load = startLoad(ctx, w)
	op, err := w.client.Upgrade(ctx, w.tenant, client.Upgrade{Plan: "professional", Reason: "growing"})
	if err != nil {
		return "", err
	}
	w.upgrade = op.ID
	return fmt.Sprintf("starter -> professional, %d workers query without a pause", loadWorkers), nil
}

func (w *walk) refuseSecondUpgrade(ctx context.Context) (string, error) {
	_, err := w.client.Upgrade(ctx, w.tenant, client.Upgrade{Plan: "enterprise"})
	var refusal *client.Error
	if !errors.As(err, &refusal) || refusal.Status != http.StatusConflict || refusal.Code != client.CodeOperationInProgress {
		return "", fmt.Errorf("wanted 409 %s, got %w", client.CodeOperationInProgress, err)
	}
	return fmt.Sprintf("%d %s", refusal.Status, refusal.Code), nil
}

func (w *walk) endUpgrade(ctx context.Context) (string, error) {
	op, err := w.follow(ctx, w.upgrade)
	if err != nil {
		return "", err
	}
	t, err := w.until(ctx, "active")
	if err != nil {
		return "", err
	}
	if t.Plan != "professional" {
		return "", fmt.Errorf("the plan is %s after %d steps", t.Plan, len(op.Steps))
	}
	w.load.stop()
	queries, err := w.load.result()
	if err != nil {
		return "", err
	}
	money, err := w.newCharges(ctx, 1)
	return queries + "; " + money, err
}

func (w *walk) declineCard(ctx context.Context) (string, error) {
	if err := w.sim(ctx, http.MethodPost, "/payment-methods", map[string]any{"tenant": w.tenant, "outcome": "decline"}, nil); err != nil {
		return "", err
	}
	if err := w.sim(ctx, http.MethodPost, "/clock", map[string]any{"advance": "744h"}, nil); err != nil {
		return "", err
	}
	for _, state := range []string{"past_due", "suspended"} {
		if _, err := w.until(ctx, state); err != nil {
			return "", err
		}
	}
	if err := w.expectAccess(ctx, http.StatusPaymentRequired); err != nil {
		return "", err
	}
	return "31 days later: past due, then suspended; queries answer 402", nil
}

func (w *walk) payAgain(ctx context.Context) (string, error) {
	if err := w.sim(ctx, http.MethodPost, "/payment-methods", map[string]any{"tenant": w.tenant, "outcome": "ok"}, nil); err != nil {
		return "", err
	}
	if err := w.sim(ctx, http.MethodPost, "/pay", map[string]any{"tenant": w.tenant}, nil); err != nil {
		return "", err
	}
	if _, err := w.until(ctx, "active"); err != nil {
		return "", err
	}
	if err := w.expectAccess(ctx, http.StatusOK); err != nil {
		return "", err
	}
	return w.newCharges(ctx, 1)
}

func (w *walk) delete(ctx context.Context) (string, error) {
	d, err := w.client.Delete(ctx, w.tenant, client.Delete{Reason: "moving on"})
	if err != nil {
		return "", err
	}
	if err := w.expectAccess(ctx, http.StatusForbidden); err != nil {
		return "", err
	}
	return fmt.Sprintf("due in %s, queries answer 403", time.Until(d.ScheduledFor).Round(time.Second)), nil
}

func (w *walk) winBack(ctx context.Context) (string, error) {
	op, err := w.client.Reactivate(ctx, w.tenant, client.Reactivate{})
	if err != nil {
		return "", err
	}
	if _, err := w.follow(ctx, op.ID); err != nil {
		return "", err
	}
	t, err := w.until(ctx, "active")
	if err != nil {
		return "", err
	}
	if t.Deletion != nil {
		return "", fmt.Errorf("the deletion of %s is still scheduled", t.Deletion.ScheduledFor)
	}
	if err := w.expectAccess(ctx, http.StatusOK); err != nil {
		return "", err
	}
	return fmt.Sprintf("all %d documents are there", w.documents), w.expectDocuments(ctx)
}

func (w *walk) deleteShort(ctx context.Context) (string, error) {
	days := shortRetention
	d, err := w.client.Delete(ctx, w.tenant, client.Delete{RetentionDays: &days, Reason: "for good"})
	if err != nil {
		return "", err
	}
	w.deletedAt = d.ScheduledFor
	return fmt.Sprintf("%d \"days\" of a second", days), nil
}

func (w *walk) purge(ctx context.Context) (string, error) {
	if _, err := w.until(ctx, "deleted"); err != nil {
		return "", err
	}
	if early := time.Until(w.deletedAt); early > 0 {
		return "", fmt.Errorf("deleted %s before it was due", early)
	}
	late := time.Since(w.deletedAt).Round(10 * time.Millisecond)
	if err := w.expectAccess(ctx, http.StatusGone); err != nil {
		return "", err
	}
	return fmt.Sprintf("every store was re-read and found empty %s after it was due; queries answer 410", late), nil
}

func (w *walk) auditLog(ctx context.Context) (string, error) {
	signed, err := audit.ReadRoots(ctx, audit.Live{Client: w.client}, "", w.tenant)
	if err != nil {
		return "", err
	}
	report, err := audit.VerifyLog(ctx, w.client, w.tenant, signed)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d events, the hash chain holds, and so do the %d roots that were signed", report.Events, report.Roots), nil
}

// wantedMails is how many mails such a life brings at least: ready, upgraded, two exports, payment failed, suspended, back
// twice, leaving twice, the last reminder, deleted.
const wantedMails = 12

func (w *walk) mails(ctx context.Context) (string, error) {
	for {
		var all []struct {
			To      string `json:"to"`
			Subject string `json:"subject"`
		}
		if _, err := call(ctx, http.MethodGet, w.at.Mail, nil, &all); err != nil {
			return "", err
		}
		var subjects []string
		for _, m := range all {
			if strings.Contains(m.To, w.email) {
				subjects = append(subjects, m.Subject)
			}
		}
		if len(subjects) >= wantedMails {
			return fmt.Sprintf("%d, from %q to %q", len(subjects), subjects[0], subjects[len(subjects)-1]), nil
		}
		if err := pause(ctx); err != nil {
			return "", fmt.Errorf("%d mails came, not %d: %q: %w", len(subjects), wantedMails, subjects, err)
		}
	}
}
