package export_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"tenure/services/export/verify"
	"tenure/shared/events"
	"tenure/shared/testkit"
)

// ask requests an export as the lifecycle does, with what p says beside the id.
func (w *world) ask(tenant string, p events.ExportRequested) {
	w.t.Helper()
	p.Change = events.Change{From: "active", To: "exporting"}
	w.tell(w.lifecycle, tenant, &p)
}

func (w *world) send(method, token, path, key, body string) (status int, answer string) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), method, w.base+path, strings.NewReader(body))
	check(w.t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	return w.do(request)
}

// archived downloads a completed export and verifies it.
func (w *world) archived(id string) []byte {
	w.t.Helper()
	status, archive := w.download(w.waitFor(id, is("completed")).DownloadURL)
	if status != http.StatusOK {
		w.t.Fatalf("the link answers %d", status)
	}
	_, err := verify.Archive(bytes.NewReader(archive), int64(len(archive)))
	check(w.t, err)
	return archive
}

// fails waits until the export has failed for good and looks for why.
func (w *world) fails(id, why string) {
	w.t.Helper()
	if failed := w.waitFor(id, is("failed")); !strings.Contains(failed.Error, why) {
		w.t.Errorf("%s failed because %q, not %q", id, failed.Error, why)
	}
}

func TestSinceAnEarlierExport(t *testing.T) {
	w := newWorld(t)
	w.ask("acme", events.ExportRequested{ExportID: "first"})
	w.archived("first")
	w.ask("acme", events.ExportRequested{ExportID: "partial", Include: []string{"audit"}})
	w.archived("partial")
	w.ask("other", events.ExportRequested{ExportID: "of-another"})
	w.archived("of-another")

	w.ask("acme", events.ExportRequested{ExportID: "changes", Since: "first"})
	// The first row of the timeline asked for the first export: it was there before.
	if rows := lines(t, w.archived("changes"), "audit.ndjson"); len(rows) == 0 || strings.Contains(rows[0], `"first"`) {
		t.Errorf("the changes are %q", rows)
	}
	w.ask("acme", events.ExportRequested{ExportID: "bills", Since: "partial", Include: []string{"audit"}})
	w.archived("bills")

	for id, test := range map[string]struct{ since, why string }{
		"x-1": {"never", `no export "never"`},
		"x-2": {"of-another", `no export "of-another"`},
		"x-3": {"yesterday at noon", "no export"},
		"x-4": {"partial", "has audit alone"},
		"x-5": {"x-5", "no archive to go on from"},
	} {
		w.ask("acme", events.ExportRequested{ExportID: id, Since: test.since})
		w.fails(id, test.why)
	}
}

// serveRows is a participant's file server.
func serveRows(t *testing.T, rows string) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, rows) }))
	t.Cleanup(server.Close)
	return server.URL
}

func (w *world) answer(tenant, id, participant string, result any) {
	w.t.Helper()
	encoded, err := json.Marshal(result)
	check(w.t, err)
	w.tell(w.lifecycle, tenant, &events.StepDone{
		Change: active, OperationID: id, StepID: id + "/1/1", Participant: participant, Action: "export", Result: encoded,
	})
}

func TestParticipantsFiles(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO app.documents VALUES ('acme', 'doc-1', 'a', 'b', '{}', now())`)
	w.ask("acme", events.ExportRequested{ExportID: "exp-1", Participants: []string{"crm", "mailer"}})
	w.answer("acme", "exp-1", "crm", events.ExportFiles{Files: []events.ExportFile{
		{Kind: "documents", URL: serveRows(t, `{"id":"contact-1"}`+"\n"+`{"id":"contact-2"}`+"\n"), Rows: 2},
		{Kind: "usage", URL: serveRows(t, `{"id":"call-1"}`), Rows: 1},
	}})
	w.waitFor("exp-1", func(s shown) bool { return s.Status == "pending" && s.Error == "it waits for the files of mailer" })
	w.answer("acme", "exp-1", "mailer", events.ExportFiles{Files: []events.ExportFile{}})

	archive := w.archived("exp-1")
	report, err := verify.Archive(bytes.NewReader(archive), int64(len(archive)))
	check(t, err)
	if report.Counts["documents"] != 3 || report.Counts["usage"] != 1 {
		t.Errorf("the archive has %v", report.Counts)
	}
	var kept int
	check(t, w.db.QueryRow(t.Context(), `SELECT count(*) FROM export.jobs WHERE contributions <> '{}'`).Scan(&kept))
	if kept != 0 {
		t.Error("the participants' links are kept")
	}
}

func TestAParticipantThatSaysOtherThanItGives(t *testing.T) {
	w := newWorld(t)
	w.ask("acme", events.ExportRequested{ExportID: "exp-1", Participants: []string{"crm"}})
	w.answer("acme", "exp-1", "crm", events.ExportFiles{Files: []events.ExportFile{{Kind: "documents", URL: serveRows(t, `{"id":1}`), Rows: 2}}})
	w.fails("exp-1", "it has 1 rows, 2 were said")
	w.checkEmptyBucket()
}

func TestAParticipantThatFails(t *testing.T) {
	w := newWorld(t)
	w.ask("acme", events.ExportRequested{ExportID: "exp-1", Participants: []string{"crm"}})
	w.tell(w.lifecycle, "acme", &events.ExportFailed{Change: active, ExportID: "exp-1", Error: "crm: no such tenant"})
	w.fails("exp-1", "crm: no such tenant")
	w.ask("acme", events.ExportRequested{ExportID: "exp-2"})
	w.archived("exp-2")
	w.checkOwnLog("acme", "export.started", "export.completed")
}

// page is the answer of GET /v1/tenants/{id}/exports.
type page struct {
	Items []struct {
		ExportID string `json:"export_id"`
		Status   string `json:"status"`
	} `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

func TestExportsAreListed(t *testing.T) {
	w := newWorld(t)
	want := []string{"exp-3", "exp-2", "exp-1"}
	for _, id := range slices.Backward(want) {
		w.request("acme", id)
		w.waitFor(id, is("completed"))
	}
	w.request("other", "exp-of-other")
	var got []string
	for cursor := ""; ; {
		status, body := w.send(http.MethodGet, "dev:acme", "/v1/tenants/acme/exports?limit=2&cursor="+cursor, "", "")
		if status != http.StatusOK || strings.Contains(body, "download_url") {
			t.Fatalf("the list answers %d: %s", status, body)
		}
		var p page
		check(t, json.Unmarshal([]byte(body), &p))
		for _, item := range p.Items {
			got = append(got, item.ExportID)
		}
		if p.NextCursor == nil {
			break
		}
		cursor = *p.NextCursor
	}
	if !slices.Equal(got, want) {
		t.Errorf("the list is %q", got)
	}
	foreign, foreignBody := w.send(http.MethodGet, "dev:other", "/v1/tenants/acme/exports", "", "")
	unknown, unknownBody := w.send(http.MethodGet, "dev", "/v1/tenants/nobody/exports", "", "")
	if foreign != http.StatusNotFound || unknown != http.StatusNotFound || foreignBody != unknownBody || !strings.Contains(unknownBody, "tenant_not_found") {
		t.Errorf("another tenant gets %d %s, an unknown one %d %s", foreign, foreignBody, unknown, unknownBody)
	}
	if status, body := w.send(http.MethodGet, "dev", "/v1/tenants/acme/exports?cursor=../x", "", ""); status != http.StatusUnprocessableEntity || !strings.Contains(body, "invalid_cursor") {
		t.Errorf("a wrong cursor gets %d %s", status, body)
	}
}

func TestProgressIsStreamed(t *testing.T) {
	w := newWorld(t)
	w.ask("acme", events.ExportRequested{ExportID: "exp-1", Participants: []string{"crm"}})
	w.waitFor("exp-1", is("pending"))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.base+"/v1/exports/exp-1", nil)
	check(t, err)
	request.Header.Set("Authorization", "Bearer dev:acme")
	request.Header.Set("Accept", "text/event-stream")
	response, err := http.DefaultClient.Do(request)
	check(t, err)
	defer response.Body.Close()
	if kind := response.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Fatalf("the answer is %s", kind)
	}
	var seen []string
	stream := bufio.NewScanner(response.Body)
	stream.Buffer(nil, 1<<20)
	for stream.Scan() {
		data, ok := strings.CutPrefix(stream.Text(), "data: ")
		if !ok {
			continue
		}
		if slices.Contains(seen, data) {
			t.Errorf("an event came twice: %s", data)
		}
		seen = append(seen, data)
		if len(seen) == 1 {
			w.answer("acme", "exp-1", "crm", events.ExportFiles{Files: []events.ExportFile{}})
		}
	}
	check(t, stream.Err())
	if len(seen) < 2 || !strings.Contains(seen[0], `"status":"pending"`) || !strings.Contains(seen[len(seen)-1], `"status":"completed"`) {
		t.Errorf("the stream was %q", seen)
	}
}

func TestOperatorsAreCalledBeforeAnExportIsLate(t *testing.T) {
	// A month of short days is over at once; 7 of them before that is now for what waits for a participant.
	w := newWorld(t, "TENURE_RETENTION_UNIT", "100ms")
	w.ask("acme", events.ExportRequested{ExportID: "exp-1", Participants: []string{"crm"}})
	w.ask("acme", events.ExportRequested{ExportID: "exp-2", Since: "never"})
	w.fails("exp-2", "never")
	testkit.WaitFor(t, patience, "both are told", func() bool {
		var n int
		check(t, w.db.QueryRow(t.Context(), `SELECT count(*) FROM export.log WHERE type = 'tenure.export.export.overdue.v1'`).Scan(&n))
		return n == 2
	})
	w.answer("acme", "exp-1", "crm", events.ExportFiles{Files: []events.ExportFile{}})
	w.waitFor("exp-1", func(s shown) bool { return s.Status == "completed" || s.Status == "expired" })
	var told []string
	check(t, w.db.QueryRow(t.Context(), `SELECT array_agg(data::json->>'export_id' ORDER BY data::json->>'export_id') FROM export.log
		WHERE type = 'tenure.export.export.overdue.v1'`).Scan(&told))
	if !slices.Equal(told, []string{"exp-1", "exp-2"}) {
		t.Errorf("operators were called for %q", told)
	}
}

// person is the key of a data subject; no event and no log may hold it.
const person = "ada@example.com"

const subjectMap = `
stores:
  - name: app
    postgres:
      url_env: APP_DATABASE_URL
      tables:
        - {table: app.notes, tenant: tenant_id, subject: author, key: [id], kind: documents, columns: [id, author, text]}
        - {table: app.documents, tenant: tenant_id, key: [id], kind: documents, columns: [id, name, content, metadata, created_at]}
  - name: counters
    postgres:
      url_env: APP_DATABASE_URL
      tables:
        - {table: app.usage, tenant: tenant_id, key: [id], kind: usage, columns: [id, metric, quantity, time]}
`

// newSubjectWorld is a world in which acme has notes of two persons, and documents of nobody.
func newSubjectWorld(t *testing.T) *world {
	w := newWorldOf(t, subjectMap)
	w.exec(`CREATE TABLE app.notes (tenant_id text, id text, author text, text text, PRIMARY KEY (tenant_id, id))`)
	w.exec(`INSERT INTO app.notes SELECT t, 'note-' || n, CASE n % 2 WHEN 0 THEN $1 ELSE 'bob' END, 'text'
		FROM generate_series(1, 10) AS n, unnest(ARRAY['acme', 'other']) AS t`, person)
	w.exec(`INSERT INTO app.documents VALUES ('acme', 'doc-1', 'a', 'b', '{}', now())`)
	for _, tenant := range []string{"acme", "other"} {
		w.tell(w.lifecycle, tenant, &events.TenantRegistered{Change: events.Change{To: "active"}, Plan: "starter", Generation: 1})
		testkit.WaitFor(t, patience, "the tenant is known", func() bool {
			status, _ := w.send(http.MethodGet, "dev", "/v1/tenants/"+tenant+"/exports", "", "")
			return status == http.StatusOK
		})
	}
	return w
}

func (w *world) askForPerson(token, tenant, key, subject string) (status int, body, id string) {
	w.t.Helper()
	status, body = w.send(http.MethodPost, token, "/v1/tenants/"+tenant+"/subject-exports", key, fmt.Sprintf(`{"subject": %q}`, subject))
	var answer struct {
		ExportID string `json:"export_id"`
	}
	check(w.t, json.Unmarshal([]byte(body), &answer))
	return status, body, answer.ExportID
}

func TestAnExportOfOnePerson(t *testing.T) {
	w := newSubjectWorld(t)
	status, body, id := w.askForPerson("dev:acme", "acme", "key-1", person)
	if status != http.StatusAccepted || !strings.Contains(body, `"due_by"`) {
		t.Fatalf("asking answers %d: %s", status, body)
	}
	archive := w.archived(id)
	rows := lines(t, archive, "documents/part-00001.ndjson")
	if len(rows) != 5 || slices.ContainsFunc(rows, func(row string) bool { return !strings.Contains(row, person) }) {
		t.Errorf("the archive has %q", rows)
	}
	_, record := w.get("dev:acme", id)
	if manifest := record[strings.Index(record, `"manifest"`):]; !strings.Contains(manifest, `"subject_sha256"`) ||
		!strings.Contains(manifest, `"without":["counters","tenure"]`) || strings.Contains(manifest, `"audit`) {
		t.Errorf("the manifest is %s", manifest)
	}
	if strings.Contains(record, person) || bytes.Contains(archive[bytes.LastIndex(archive, []byte("manifest.json")):], []byte(person)) {
		t.Error("the manifest names the person")
	}
	var kept int
	check(t, w.db.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM export.jobs j WHERE j::text LIKE '%' || $1 || '%')
		+ (SELECT count(*) FROM export.log l WHERE l::text LIKE '%' || $1 || '%')`, person).Scan(&kept))
	if kept != 0 {
		t.Errorf("%d rows name the person after the end", kept)
	}
	w.checkOwnLog("acme", "subject_export.requested", "subject_export.completed")
}

func TestTheSameKeyAsksOnce(t *testing.T) {
	w := newSubjectWorld(t)
	_, first, id := w.askForPerson("dev", "acme", "key-1", person)
	w.archived(id)
	if status, again, _ := w.askForPerson("dev", "acme", "key-1", person); status != http.StatusAccepted || again != first {
		t.Errorf("the second time answers %d %s, not %s", status, again, first)
	}
	if status, body, _ := w.askForPerson("dev", "acme", "key-1", "bob"); status != http.StatusConflict || !strings.Contains(body, "idempotency_key_reused") {
		t.Errorf("for another person it answers %d %s", status, body)
	}
	if _, _, another := w.askForPerson("dev", "other", "key-1", person); another == id {
		t.Error("another tenant's key is taken for this one's")
	}
	w.checkOwnLog("acme", "subject_export.requested", "subject_export.completed")
}

func TestWhoMayAskForAPerson(t *testing.T) {
	w := newSubjectWorld(t)
	w.tell(w.lifecycle, "other", &events.TenantPurged{Change: events.Change{From: "purging", To: "deleted"}, Generation: 1})
	testkit.WaitFor(t, patience, "the purge is known", func() bool {
		status, _, _ := w.askForPerson("dev", "other", "", person)
		return status == http.StatusNotFound
	})
	_, purged, _ := w.askForPerson("dev", "other", "", person)
	unknown, unknownBody, _ := w.askForPerson("dev", "nobody", "", person)
	foreign, foreignBody, _ := w.askForPerson("dev:other", "acme", "", person)
	if unknown != http.StatusNotFound || foreign != http.StatusNotFound || purged != unknownBody || foreignBody != unknownBody {
		t.Errorf("purged: %s, unknown: %s, foreign: %s", purged, unknownBody, foreignBody)
	}
	for _, subject := range []string{"", strings.Repeat("x", 2000)} {
		if status, body, _ := w.askForPerson("dev", "acme", "", subject); status != http.StatusUnprocessableEntity {
			t.Errorf("a key of %d bytes gets %d %s", len(subject), status, body)
		}
	}
}

func TestWhereNoStoreKnowsPersons(t *testing.T) {
	w := newWorld(t)
	w.request("acme", "exp-1")
	w.archived("exp-1")
	_, _, id := w.askForPerson("dev", "acme", "", person)
	w.fails(id, "no store tells whose its rows are")
	w.checkOwnLog("acme", "export.started", "export.completed", "subject_export.requested", "subject_export.failed")
}

func TestLinksOfAPurgedTenantAreDead(t *testing.T) {
	w := newSubjectWorld(t)
	_, _, id := w.askForPerson("dev", "acme", "", person)
	done := w.waitFor(id, is("completed"))
	w.tell(w.lifecycle, "acme", &events.TenantPurged{Change: events.Change{From: "purging", To: "deleted"}, Generation: 1})
	gone := w.waitFor(id, is("expired"))
	if status, _ := w.download(done.DownloadURL); status != http.StatusNotFound && status != http.StatusForbidden {
		t.Errorf("the link answers %d", status)
	}
	if gone.DownloadURL != "" || time.Until(gone.ExpiresAt) < 0 {
		t.Errorf("the export is %+v", gone)
	}
}
