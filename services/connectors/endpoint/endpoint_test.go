package endpoint_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tenure/services/connectors"
	"tenure/services/connectors/conformance"
	"tenure/services/connectors/endpoint"
	"tenure/services/connectors/endpoint/endpointtest"
	"tenure/services/connectors/remote/remotetest"
	"tenure/shared/fault"
	"tenure/shared/testkit"
)

const token = "the-endpoints-token"

var acme = connectors.Tenant("acme")

// service is a service and its address.
type service struct {
	*endpointtest.Service
	url string
}

func newService(t *testing.T) service {
	t.Helper()
	made := endpointtest.New(token)
	server := httptest.NewServer(made.Handler())
	t.Cleanup(server.Close)
	return service{made, server.URL}
}

func connect(t *testing.T, url string) *endpoint.Store {
	t.Helper()
	store, err := endpoint.New("crm", endpoint.Config{
		URL: url, Token: token, Kinds: []string{"documents"}, Subjects: true, Settles: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func (s service) putFor(_ context.Context, tenant, person, id, content string) error {
	row, err := json.Marshal(map[string]string{"id": id, "content": content})
	s.Put(tenant, id, endpointtest.Row{Subject: person, Content: row})
	return err
}

func (s service) fill(t *testing.T, tenant string, n int) {
	t.Helper()
	for i := range n {
		if err := s.putFor(t.Context(), tenant, "", fmt.Sprintf("row-%05d", i), "content"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConformance(t *testing.T) {
	conformance.Run(t, func(t *testing.T) conformance.Fixture {
		s := newService(t)
		return conformance.Fixture{
			Connector: connect(t, s.url), Kind: "documents", Many: 2500, PutFor: s.putFor,
			Put: func(ctx context.Context, tenant, id, content string) error {
				return s.putFor(ctx, tenant, "", id, content)
			},
			Delete: func(_ context.Context, tenant, id string) error {
				s.Delete(tenant, id)
				return nil
			},
		}
	})
}

func count(t *testing.T, store connectors.Connector) int64 {
	t.Helper()
	s, err := store.Snapshot(t.Context(), acme, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return s.Counts()["documents"]
}

func eraseAll(t *testing.T, store connectors.Connector, want int64) {
	t.Helper()
	if n, err := store.Erase(t.Context(), acme); err != nil || n.Total() != want {
		t.Errorf("erased %v of %d: %v", n, want, err)
	}
	if n, err := store.Verify(t.Context(), acme); err != nil || n.Total() != 0 {
		t.Errorf("left are %v: %v", n, err)
	}
}

func TestAServiceThatFailsEveryFifthCall(t *testing.T) {
	s := newService(t)
	s.fill(t, "acme", 20_000)
	store := connect(t, remotetest.Flaky(t, s.url, 5))
	if n := count(t, store); n != 20_000 {
		t.Errorf("read %d of 20,000 rows", n)
	}
	eraseAll(t, store, 20_000)
}

func TestAServiceThatIsGoneIsWaitedFor(t *testing.T) {
	s := newService(t)
	s.fill(t, "acme", 3)
	proxy, through := testkit.ProxyURL(t, s.url)
	store := connect(t, through)
	proxy.Down()
	_, err := store.Verify(t.Context(), acme)
	if _, wait := fault.Delay(err); !wait {
		t.Errorf("Verify answers %v, which does not say to wait", err)
	}
	proxy.Up()
	eraseAll(t, store, 3)
}

func TestAnErasureThatTakesTime(t *testing.T) {
	s := newService(t)
	s.fill(t, "acme", 3)
	s.TakeTime(2)
	eraseAll(t, connect(t, s.url), 3)

	s.fill(t, "acme", 3)
	s.TakeTime(1)
	impatient := endpoint.WithPatience(connect(t, s.url), time.Millisecond)
	_, err := impatient.Erase(t.Context(), acme)
	if delay, wait := fault.Delay(err); !wait || delay != time.Second {
		t.Errorf("Erase answers %v, to be asked again in %v", err, delay)
	}
	eraseAll(t, impatient, 3)
}

// answers is an endpoint that answers each call alike.
func answers(t *testing.T, status int, body string) *endpoint.Store {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	return connect(t, server.URL)
}

// Whatever is not the protocol's answer must not pass for "nothing".
func TestARefusalIsNotNothing(t *testing.T) {
	for name, store := range map[string]*endpoint.Store{
		"unauthorized":          answers(t, http.StatusUnauthorized, `{"counts":{},"erased":{}}`),
		"not found":             answers(t, http.StatusNotFound, `{"counts":{},"erased":{}}`),
		"no content":            answers(t, http.StatusNoContent, ``),
		"a page for people":     answers(t, http.StatusOK, `<html>`),
		"an empty object":       answers(t, http.StatusOK, `{}`),
		"no answer":             answers(t, http.StatusOK, ``),
		"counts that are null":  answers(t, http.StatusOK, `{"counts":null,"erased":null}`),
		"a negative count":      answers(t, http.StatusOK, `{"counts":{"a":-1},"erased":{"a":-1}}`),
		"a count that is text":  answers(t, http.StatusOK, `{"counts":{"a":"0"},"erased":{"a":"0"}}`),
		"an answer without end": answers(t, http.StatusOK, `{"counts":{},"erased":{},"x":"`+strings.Repeat("x", 2<<20)),
	} {
		if n, err := store.Verify(t.Context(), acme); err == nil {
			t.Errorf("%s: Verify answers %v", name, n)
		}
		if n, err := store.Erase(t.Context(), acme); err == nil {
			t.Errorf("%s: Erase answers %v", name, n)
		}
	}
}

// pages is an endpoint that answers each page with the same text.
func pages(t *testing.T, page string) *endpoint.Store {
	t.Helper()
	s := newService(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/rows") {
			fmt.Fprint(w, page)
			return
		}
		s.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return connect(t, server.URL)
}

func TestPagesThatAreNotAsTheProtocolSays(t *testing.T) {
	const row = `{"row":{"id":"a"}}` + "\n"
	for name, c := range map[string]struct {
		page string
		wait bool
	}{
		"cut short":             {row, true},
		"nothing":               {"", true},
		"half a line":           {row + `{"row":{"id`, false},
		"no object":             {`{"row":3}`, false},
		"neither":               {`{}`, false},
		"both":                  {`{"row":{},"next":null}`, false},
		"a next that is none":   {`{"next":3}`, false},
		"a line behind the end": {`{"next":null}` + "\n" + row, false},
		"the same page again":   {row + `{"next":"x"}`, false},
		"too many rows":         {strings.Repeat(row, 1001) + `{"next":null}`, false},
		"a line without end":    {`{"row":{"id":"` + strings.Repeat("x", 17<<20), false},
	} {
		_, err := pages(t, c.page).Snapshot(t.Context(), acme, time.Time{})
		if _, wait := fault.Delay(err); err == nil || wait != c.wait {
			t.Errorf("%s: Snapshot answers %v", name, err)
		}
	}
	if n := count(t, pages(t, "{\"row\": {\r \"id\":\t\"a\"}}\r\n{\"next\":null}\r\n")); n != 1 {
		t.Errorf("a page with other white space has %d rows", n)
	}
}

func TestTheTokenGoesToNobodyElse(t *testing.T) {
	var asked atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(elsewhere.Close)
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	t.Cleanup(server.Close)
	if n, err := connect(t, server.URL).Verify(t.Context(), acme); err == nil || asked.Load() > 0 {
		t.Errorf("Verify answers %v, %v", n, err)
	}
}

func TestNoErrorNamesAPerson(t *testing.T) {
	of := connectors.Scope{Tenant: "acme", Subject: "ann@example.com"}
	_, err := answers(t, http.StatusBadRequest, `no such person: ann@example.com`).Erase(t.Context(), of)
	if err == nil || strings.Contains(err.Error(), "ann") {
		t.Errorf("Erase answers %v", err)
	}
}

func TestAnAddressThatIsNone(t *testing.T) {
	for _, at := range []string{"", "crm.example.com", "ftp://host", "https://u:p@host/", "https://host/?x=1"} {
		if _, err := endpoint.New("crm", endpoint.Config{URL: at}); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%q is taken: %v", at, err)
		}
	}
}
