package remote_test

import (
	"errors"
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
	of := connectors.Scope{Tenant: "acme", Subject: "ann@example.com"}
	err := remote.Hide(fault.RetryAfter(errors.New("in 'ann@example.com'"), time.Minute), of)
	if delay, wait := fault.Delay(err); !wait || delay != time.Minute || strings.Contains(err.Error(), "ann@") {
		t.Errorf("the error is %v", err)
	}
	if err := remote.Hide(nil, of); err != nil {
		t.Error(err)
	}
}
