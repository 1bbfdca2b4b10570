package deletion_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"tenure/services/deletion/verify"
	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/query"
	"tenure/shared/testkit"
)

const (
	person   = "p7@example.com"
	subjects = "/v1/tenants/acme/subject-erasures"
	asks     = `{"subject":"p7@example.com","reason":"she asked"}`
)

type subjectRequest struct {
	RequestID   string     `json:"request_id"`
	Status      string     `json:"status"`
	WaitsFor    string     `json:"waits_for"`
	RequestedAt time.Time  `json:"requested_at"`
	DueBy       time.Time  `json:"due_by"`
	CompletedAt *time.Time `json:"completed_at"`
	Stores      []struct {
		Store         string
		Before, After int64
	}
	Exceptions []struct{ Store, Why, Basis string }
}

func (w *world) subject(id string) (r subjectRequest) {
	w.Helper()
	status, body := w.get("dev:"+tenant, "/v1/subject-erasures/"+id)
	if status != http.StatusOK {
		w.Fatalf("request: %d %s", status, body)
	}
	w.check(json.Unmarshal([]byte(body), &r))
	return r
}

// rowsOf counts a person's rows, and all others of the tenant's that are people or their notes.
func (w *world) rowsOf(tenant, email string) (own, others int64) {
	w.Helper()
	w.check(w.db.QueryRow(w.Context(), `SELECT count(*) FILTER (WHERE email = $2) + count(n.id) FILTER (WHERE email = $2),
		count(*) FILTER (WHERE email <> $2) + count(n.id) FILTER (WHERE email <> $2)
		FROM crm.people p LEFT JOIN crm.notes n ON (n.tenant_id, n.person) = (p.tenant_id, p.id) WHERE p.tenant_id = $1`, tenant, email).Scan(&own, &others))
	return own, others
}

// TestSubjectErasure erases one person in one tenant: a namesake in another tenant, everybody else, and what a law keeps stay.
func TestSubjectErasure(t *testing.T) {
	w := newWorld(t)
	_, err := w.db.Exec(t.Context(), crm)
	w.check(err)
	w.fill(tenant)
	w.fill("acme-2")
	if status, body := w.call(http.MethodPost, "dev", subjects, "k1", asks); status != http.StatusNotFound || !strings.Contains(body, "tenant_not_found") {
		t.Errorf("of a tenant that nobody knows: %d %s", status, body)
	}
	w.tell(&events.TenantRegistered{Plan: "starter", Generation: 1})
	w.tell(&events.HoldPlaced{HoldID: "h1"})
	first := w.askedAs(tenant)
	testkit.WaitFor(t, patience, "the hold is in its way", func() bool {
		return strings.Contains(w.subject(first.RequestID).WaitsFor, "legal hold")
	})
	if own, _ := w.rowsOf(tenant, person); own != 6 {
		t.Errorf("under a hold %d rows are left", own)
	}
	w.tell(&events.HoldReleased{HoldID: "h1"})
	testkit.WaitFor(t, patience, "it is done", func() bool { return w.subject(first.RequestID).Status == "completed" })

	done := w.subject(first.RequestID)
	if len(done.Stores) != 1 || done.Stores[0].Store != "crm" || done.Stores[0].Before != 6 || done.CompletedAt == nil || done.WaitsFor != "" {
		t.Errorf("request %+v", done)
	}
	if own, others := w.rowsOf(tenant, person); own != 0 || others != 12000-6 {
		t.Errorf("%d of the person's rows are left, and %d others", own, others)
	}
	if own, others := w.rowsOf("acme-2", person); own != 6 || others != 12000-6 {
		t.Errorf("of another tenant %d and %d rows are left", own, others)
	}
	w.checkReceipt(first.RequestID)
	w.checkSubjectAccess(first)
}

// askedAs asks for the erasure twice under one key, and tells what both answers are.
func (w *world) askedAs(tenant string) (r subjectRequest) {
	w.Helper()
	var status int
	var body string
	testkit.WaitFor(w, patience, "the tenant is known", func() bool {
		status, body = w.call(http.MethodPost, "dev:"+tenant, subjects, "k1", asks)
		return status == http.StatusAccepted
	})
	if _, again := w.call(http.MethodPost, "dev:"+tenant, subjects, "k1", asks); again != body {
		w.Errorf("answered %s, then %s", body, again)
	}
	if status, body := w.call(http.MethodPost, "dev:"+tenant, subjects, "k1", `{"subject":"other"}`); status != http.StatusConflict || !strings.Contains(body, "idempotency_key_reused") {
		w.Errorf("the same key for another person: %d %s", status, body)
	}
	w.check(json.Unmarshal([]byte(body), &r))
	if r.DueBy.Sub(r.RequestedAt) < 28*24*time.Hour || r.DueBy.Sub(r.RequestedAt) > 31*24*time.Hour {
		w.Errorf("asked at %v, due by %v", r.RequestedAt, r.DueBy)
	}
	return r
}

func (w *world) checkReceipt(id string) {
	w.Helper()
	_, document := w.get("dev", "/v1/subject-erasures/"+id+"/certificate")
	report, err := verify.Certificate([]byte(document))
	if err != nil || report.Kind != verify.Subject || report.Erased != 6 || strings.Contains(document, person) {
		w.Errorf("report %+v, %v, of %s", report, err, document)
	}
	var stay []string
	for _, e := range report.Exceptions {
		stay = append(stay, e.Store)
	}
	if got := strings.Join(stay, " "); got != "archive crm/accounting tenure/dead-letters tenure/exports " {
		w.Errorf("exceptions %q", got)
	}
}

func (w *world) checkSubjectAccess(r subjectRequest) {
	w.Helper()
	for _, path := range []string{"/v1/subject-erasures/" + r.RequestID, "/v1/subject-erasures/" + r.RequestID + "/certificate"} {
		otherStatus, other := w.get("dev:acme-2", path)
		unknownStatus, unknown := w.get("dev:acme-2", strings.Replace(path, r.RequestID, "none", 1))
		if otherStatus != http.StatusNotFound || unknownStatus != http.StatusNotFound || other != unknown {
			w.Errorf("another's: %d %s; nobody's: %d %s", otherStatus, other, unknownStatus, unknown)
		}
	}
	if status, body := w.call(http.MethodPost, "dev:acme-2", subjects, "", asks); status != http.StatusNotFound {
		w.Errorf("in another's tenant: %d %s", status, body)
	}
	for _, body := range []string{`{}`, `{"subject":""}`, `{"subject":"a\u0000"}`, `{"subject":"` + strings.Repeat("a", 513) + `"}`} {
		if status, answer := w.call(http.MethodPost, "dev", subjects, "", body); status != http.StatusUnprocessableEntity {
			w.Errorf("%.40s: %d %s", body, status, answer)
		}
	}
}

// checkInventory asks over the bus what a deletion would find, as the lifecycle's preview does.
func (w *world) checkInventory() {
	w.Helper()
	b, err := bus.Connect(w.Context(), bus.Config{URL: w.environ["NATS_URL"], Name: "lifecycle"})
	w.check(err)
	defer b.Close()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	var found query.Inventory
	w.check(b.Ask(ctx, query.DeletionInventory, query.InventoryRequest{Tenant: tenant}, &found))
	rows := map[string]int64{}
	for _, s := range found.Stores {
		rows[s.Store] = s.Rows
		if s.Error != "" || s.Kind == "" || len(s.Targets) == 0 || s.Kind == "postgres" && s.Bytes == 0 {
			w.Errorf("inventory %+v", s)
		}
		if s.Store == "crm/accounting" && (s.KeepDays != 4018 || s.Basis != "HGB § 257(4)" || s.Class != "accounting") {
			w.Errorf("inventory %+v", s)
		}
	}
	if rows["crm"] != 12000 || rows["crm/accounting"] != invoices || rows["archive"] != objects || rows["tenure/exports"] != objects || len(rows) != 5 {
		w.Errorf("rows %v", rows)
	}
}
