package stripeapi

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"tenure/shared/fault"
	"tenure/shared/plans"
)

func TestTheWaitGrowsWhileTheTroubleLasts(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	p := &patience{now: func() time.Time { return now }}
	for _, tt := range []struct{ lasted, least, most time.Duration }{
		{0, time.Second / 2, time.Second},
		{time.Second, time.Second / 2, time.Second},
		{8 * time.Second, 4 * time.Second, 8 * time.Second},
		{time.Hour, 30 * time.Second, time.Minute},
	} {
		start := now
		now = now.Add(tt.lasted)
		for range 20 { // side by side: they do not make it longer
			if got := p.failed(); got < tt.least || got > tt.most {
				t.Errorf("after %v it waits for %v, want %v to %v", tt.lasted, got, tt.least, tt.most)
			}
		}
		now = start
	}
	p.answered(&http.Response{StatusCode: http.StatusBadRequest}) // Stripe is well, the request is not
	now = now.Add(time.Hour)
	if got := p.failed(); got > time.Second {
		t.Errorf("the first failure after an answer waits for %v", got)
	}
}

func TestStripeSaysHowLongToWait(t *testing.T) {
	for name, header := range map[string]string{"429": "7", "503": "7", "400": "", "409": ""} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				status := map[string]int{"429": 429, "503": 503, "400": 400, "409": 409}[name]
				w.Header().Set("Retry-After", header)
				w.Header().Set("Stripe-Should-Retry", "true")
				w.WriteHeader(status)
				_, _ = w.Write([]byte(`{"error":{"type":"invalid_request_error","code":"lock_timeout","message":"busy"}}`))
			}))
			defer server.Close()
			c := New(Config{Key: "sk", Base: server.URL, Catalogue: plans.Default()})
			_, err := c.CreateCustomer(t.Context(), "k", "acme", 1)
			delay, waits := fault.Delay(err)
			if !waits {
				t.Fatalf("%v is no reason to wait", err)
			}
			if asked := delay > 6*time.Second && delay <= 7*time.Second; asked != (header != "") {
				t.Errorf("it waits for %v", delay)
			}
		})
	}
}

func TestCallsKeepToTheRate(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"object":"list","data":[]}`))
	}))
	defer server.Close()
	c := New(Config{Key: "sk", Base: server.URL, Rate: 50})
	begun := time.Now()
	for range 6 {
		if _, err := c.Subscriptions(t.Context(), "cus_1"); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begun); took < 95*time.Millisecond {
		t.Errorf("6 calls at 50 a second took %v", took)
	}
}
