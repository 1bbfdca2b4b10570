package contribution_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tenure/services/connectors"
	"tenure/services/export/internal/contribution"
	"tenure/shared/egress"
	"tenure/shared/fault"
)

var answered = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// lines is a connectors.Sink.
type lines struct{ bytes.Buffer }

func (l *lines) EndRow() error { return l.WriteByte('\n') }

// serve answers every request with status and body.
func serve(t *testing.T, status int, body string) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/rows?signature=secret"
}

func result(kind, url string, rows int) json.RawMessage {
	return fmt.Appendf(nil, `{"files": [{"kind": %q, "url": %q, "rows": %d}]}`, kind, url, rows)
}

// open is a participant's snapshot, in development.
func open(t *testing.T, result json.RawMessage) connectors.Snapshot {
	t.Helper()
	store, err := contribution.NewClient(egress.Loopback()).Open("crm", answered, result)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Snapshot(t.Context(), connectors.Tenant("acme"), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const three = `{"id": "a"}` + "\n" + ` {"id": "b"}` + "\r\n" + `{"id": "c"}`

func TestRowsAreRead(t *testing.T) {
	s := open(t, result("documents", serve(t, http.StatusOK, three), 3))
	if n := s.Counts()["documents"]; n != 3 {
		t.Errorf("it counts %d", n)
	}
	if w := s.Watermark(); w.Store != "crm" || !w.TakenAt.Equal(answered) {
		t.Errorf("the watermark is %+v", w)
	}
	var all lines
	if err := connectors.ReadKind(t.Context(), s, "documents", &all); err != nil {
		t.Fatal(err)
	}
	if got := all.String(); got != `{"id": "a"}`+"\n"+` {"id": "b"}`+"\n"+`{"id": "c"}`+"\n" {
		t.Errorf("the rows are %q", got)
	}
	if ranges, _ := s.Ranges(t.Context(), "vectors", 4); ranges != nil {
		t.Errorf("vectors are %v", ranges)
	}
}

func TestAReadingGoesOnBehindAPosition(t *testing.T) {
	s := open(t, result("usage", serve(t, http.StatusOK, three), 3))
	ranges, err := s.Ranges(t.Context(), "usage", 1)
	if err != nil {
		t.Fatal(err)
	}
	first, rest := ranges[0], ranges[0]
	if first.UpTo, err = s.Position(t.Context(), first, 2); err != nil {
		t.Fatal(err)
	}
	rest.After = first.UpTo
	for r, want := range map[connectors.Range]string{first: "ab", rest: "c"} {
		var got lines
		if err := s.Read(t.Context(), r, &got); err != nil {
			t.Fatal(err)
		}
		if ids := strings.Join(strings.FieldsFunc(got.String(), func(c rune) bool { return !strings.ContainsRune("abc", c) }), ""); ids != want {
			t.Errorf("%+v has %q", r, got.String())
		}
	}
	if same, _ := s.Same(t.Context(), first, 2, s.Watermark()); same {
		t.Error("what an address gives the next time is taken for known")
	}
}

func TestAParticipantThatHasNothing(t *testing.T) {
	if total := open(t, json.RawMessage(`{"files": []}`)).Counts().Total(); total != 0 {
		t.Errorf("it counts %d", total)
	}
}

func TestNothingOfOnePerson(t *testing.T) {
	store, err := contribution.NewClient(egress.Loopback()).Open("crm", answered, result("usage", "https://files.example/1", 3))
	if err != nil {
		t.Fatal(err)
	}
	counts, err := store.Count(t.Context(), connectors.Scope{Tenant: "acme", Subject: "ada"})
	if err != nil || counts.Total() != 0 {
		t.Errorf("counts are %v, %v", counts, err)
	}
}

func TestAnswersThatAreRefused(t *testing.T) {
	const good = "https://files.example/1"
	for name, refused := range map[string]json.RawMessage{
		"nothing":           nil,
		"no object":         json.RawMessage(`["files"]`),
		"another kind":      result("notes", good, 1),
		"the timeline":      result("audit", good, 1),
		"rows below none":   result("usage", good, -1),
		"no URL":            result("usage", "", 1),
		"a path":            result("usage", "/etc/passwd", 1),
		"a file":            result("usage", "file:///etc/passwd", 1),
		"no host":           result("usage", "https:///x", 1),
		"without a secret":  result("usage", "http://files.example/1", 1),
		"what is no URL":    result("usage", "https://%zz", 1),
		"this machine":      result("usage", "https://127.0.0.1/1", 1),
		"an unknown scheme": result("usage", "gopher://files.example/1", 1),
	} {
		if _, err := contribution.NewClient(egress.Policy{}).Open("crm", answered, refused); !fault.IsPermanent(err) || !strings.Contains(err.Error(), "crm") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func read(t *testing.T, status int, body string, rows int) error {
	t.Helper()
	s := open(t, result("documents", serve(t, status, body), rows))
	return connectors.ReadKind(t.Context(), s, "documents", &lines{})
}

func TestFilesThatAreNotWhatWasSaid(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
		rows   int
	}{
		"fewer rows":        {http.StatusOK, three, 4},
		"more rows":         {http.StatusOK, three, 2},
		"no JSON":           {http.StatusOK, "<html>", 1},
		"no object":         {http.StatusOK, `[1]`, 1},
		"two in a line":     {http.StatusOK, `{"id": 1} {"id": 2}`, 1},
		"an empty line":     {http.StatusOK, "\n" + three, 4},
		"a row without end": {http.StatusOK, `{"id": "` + strings.Repeat("x", 8<<20) + `"}`, 1},
		"not allowed":       {http.StatusForbidden, three, 3},
		"gone":              {http.StatusNotFound, three, 3},
		"elsewhere":         {http.StatusFound, three, 3},
	} {
		err := read(t, test.status, test.body, test.rows)
		if !fault.IsPermanent(err) {
			t.Errorf("%s: error is %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells a secret: %v", name, err)
		}
	}
}

func TestAServerThatIsAwayIsWaitedFor(t *testing.T) {
	for _, status := range []int{http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusTooManyRequests} {
		if _, waits := fault.Delay(read(t, status, "", 1)); !waits {
			t.Errorf("status %d is not waited for", status)
		}
	}
	server := httptest.NewServer(nil)
	url := server.URL + "?signature=secret"
	server.Close()
	err := connectors.ReadKind(t.Context(), open(t, result("usage", url, 1)), "usage", &lines{})
	if _, waits := fault.Delay(err); !waits || strings.Contains(err.Error(), "secret") {
		t.Errorf("error is %v", err)
	}
}

func TestNoWayInward(t *testing.T) {
	inner := serve(t, http.StatusOK, three)
	byName := "https://localhost" + inner[strings.LastIndex(inner, ":"):]
	store, err := contribution.NewClient(egress.Policy{}).Open("crm", answered, result("usage", byName, 3))
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Snapshot(t.Context(), connectors.Tenant("acme"), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	err = connectors.ReadKind(t.Context(), s, "usage", &lines{})
	if !fault.IsPermanent(err) || !errors.Is(err, egress.ErrPrivate) {
		t.Errorf("error is %v", err)
	}
}
