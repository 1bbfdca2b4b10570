package remote_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tenure/services/connectors"
	"tenure/services/connectors/remote"
	"tenure/shared/fault"
)

// get asks a server for its answer, as a connector does.
func get(t *testing.T, url string) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := remote.Do(remote.NewClient(time.Second), req)
	if err != nil {
		return remote.Classify(err)
	}
	defer resp.Body.Close()
	return remote.Classify(remote.Check(resp))
}

func server(t *testing.T, answer http.HandlerFunc) string {
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return s.URL
}

func TestARequestIsRepeatedUntilItSucceeds(t *testing.T) {
	var asked atomic.Int64
	url := server(t, func(w http.ResponseWriter, _ *http.Request) {
		switch asked.Add(1) {
		case 1:
			w.WriteHeader(http.StatusTooManyRequests)
		case 2:
			w.WriteHeader(http.StatusBadGateway)
		case 3:
			panic(http.ErrAbortHandler) // breaks the connection
		}
	})
	if err := get(t, url); err != nil || asked.Load() != 4 {
		t.Errorf("%v after %d requests", err, asked.Load())
	}
}

func TestALongPauseIsLeftToTheCaller(t *testing.T) {
	var asked atomic.Int64
	url := server(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Retry-After", "90")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	if delay, wait := fault.Delay(get(t, url)); !wait || delay != 90*time.Second || asked.Load() != 1 {
		t.Errorf("waits %v after %d requests", delay, asked.Load())
	}
}

func TestAServerThatIsSlowIsNotAskedAgain(t *testing.T) {
	var asked atomic.Int64
	url := server(t, func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		<-r.Context().Done()
	})
	if _, wait := fault.Delay(get(t, url)); !wait || asked.Load() != 1 {
		t.Errorf("waits %v after %d requests", wait, asked.Load())
	}
}

func TestNoRedirectLeadsToAnotherHost(t *testing.T) {
	elsewhere := server(t, func(http.ResponseWriter, *http.Request) { t.Error("the other host was asked") })
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere, http.StatusTemporaryRedirect)
	})
	err := get(t, url+"?subject=ann@example.com")
	if _, wait := fault.Delay(err); err == nil || wait {
		t.Errorf("answers %v", err)
	}
	if strings.Contains(err.Error(), "ann@") {
		t.Errorf("the error names a person: %v", err)
	}
}

func TestWhatIsWaitedFor(t *testing.T) {
	for status, want := range map[int]bool{200: false, 400: false, 401: false, 404: false, 501: false} {
		url := server(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		err := get(t, url)
		if _, wait := fault.Delay(err); wait != want || (err == nil) != (status == 200) {
			t.Errorf("%d answers %v", status, err)
		}
	}
}

func TestNoErrorNamesAPerson(t *testing.T) {
	of := connectors.Scope{Tenant: "acme", Subject: "o'neil@example.com"}
	said := `in "person = 'o\'neil@example.com'"`
	for name, err := range map[string]error{
		"words":  fmt.Errorf("count: %w", fault.RetryAfter(&remote.Words{Brief: "exception 62", Text: said}, time.Minute)),
		"status": remote.Classify(fmt.Errorf("count: %w", &remote.StatusError{Status: 503, RetryAfter: time.Minute, Text: said})),
	} {
		hidden := remote.Hide(err, of)
		if delay, wait := fault.Delay(hidden); !wait || delay != time.Minute || strings.Contains(hidden.Error(), "neil") {
			t.Errorf("%s: the error is %v", name, hidden)
		}
		if kept := remote.Hide(err, connectors.Tenant("acme")); !strings.Contains(kept.Error(), said) {
			t.Errorf("%s: a tenant's error is %v", name, kept)
		}
	}
	if err := remote.Hide(nil, of); err != nil {
		t.Error(err)
	}
}
