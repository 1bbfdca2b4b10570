package webhook_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	stripewebhook "github.com/stripe/stripe-go/v76/webhook"

	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/webhook"
	"tenure/shared/events"
)

const invoicePaid = `{"id":"evt_1","object":"event","type":"invoice.paid","api_version":"2011-01-01","created":1767225600,
	"data":{"object":{"id":"in_1","object":"invoice","customer":"cus_1","subscription":{"id":"sub_1"},"customer_email":"a@example.com",
	"subscription_details":{"metadata":{"tenant_id":"acme"}}}}}`

// taker keeps what it was given, or fails.
type taker struct {
	got []plan.Notice
	err error
}

func (k *taker) Take(_ context.Context, n plan.Notice) error {
	k.got = append(k.got, n)
	return k.err
}

func sign(body, secret string, at time.Time) string {
	return stripewebhook.GenerateTestSignedPayload(&stripewebhook.UnsignedPayload{
		Payload: []byte(body), Secret: secret, Timestamp: at,
	}).Header
}

func deliver(t *testing.T, k *taker, body, signature string) (int, string) {
	t.Helper()
	server := httptest.NewServer(webhook.Handler([]string{"new", "old"}, k))
	t.Cleanup(server.Close)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Stripe-Signature", signature)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// TestSignedEventIsTaken by either secret, whatever version of the API the endpoint was made with.
func TestSignedEventIsTaken(t *testing.T) {
	want := plan.Notice{Tenant: "acme", StripeNotice: events.StripeNotice{
		EventID: "evt_1", Type: "invoice.paid", ObjectID: "in_1", CustomerID: "cus_1", SubscriptionID: "sub_1",
		Created: time.Unix(1767225600, 0).UTC(),
	}}
	for _, secret := range []string{"new", "old"} {
		for _, version := range []string{"2011-01-01", "2023-10-16", "2099-12-31.future"} {
			k := &taker{}
			body := strings.Replace(invoicePaid, "2011-01-01", version, 1)
			if status, text := deliver(t, k, body, sign(body, secret, time.Now())); status != http.StatusOK {
				t.Fatalf("version %s, signed with the %s secret: %d %s", version, secret, status, text)
			}
			if len(k.got) != 1 || k.got[0] != want {
				t.Errorf("took %+v, want %+v", k.got, want)
			}
		}
	}
}

// TestDuplicateIsAnsweredAsTheFirst: Stripe delivers at least once. The store takes each event once.
func TestDuplicateIsAnsweredAsTheFirst(t *testing.T) {
	k := &taker{}
	for range 2 {
		if status, text := deliver(t, k, invoicePaid, sign(invoicePaid, "new", time.Now())); status != http.StatusOK || text != "" {
			t.Errorf("answer %d %q, want an empty 200", status, text)
		}
	}
}

func TestRefused(t *testing.T) {
	now := time.Now()
	garbage := `{"id":`
	noEvent := `{"hello":"world"}`
	badType := strings.Replace(invoicePaid, "invoice.paid", "a.>", 1)
	tests := []struct{ name, body, signature string }{
		{"not signed", invoicePaid, ""},
		{"signed by another", invoicePaid, sign(invoicePaid, "guess", now)},
		{"changed after signing", invoicePaid + " ", sign(invoicePaid, "new", now)},
		{"older than the tolerance", invoicePaid, sign(invoicePaid, "new", now.Add(-301*time.Second))},
		{"signature without form", invoicePaid, "t=x,v1=y"},
		{"no JSON", garbage, sign(garbage, "new", now)},
		{"no event", noEvent, sign(noEvent, "new", now)},
		{"a type that is no subject", badType, sign(badType, "new", now)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := &taker{}
			status, text := deliver(t, k, tt.body, tt.signature)
			if status != http.StatusBadRequest || !strings.Contains(text, `"code":"invalid_webhook"`) {
				t.Errorf("answer %d %s, want 400 invalid_webhook", status, text)
			}
			if k.got != nil {
				t.Errorf("took %v", k.got)
			}
		})
	}
}

func TestTooLarge(t *testing.T) {
	body := strings.Repeat(" ", 1<<20+1)
	if status, _ := deliver(t, &taker{}, body, sign(body, "new", time.Now())); status != http.StatusRequestEntityTooLarge {
		t.Errorf("answer %d, want 413", status)
	}
}

func TestStripeIsAskedToDeliverAgain(t *testing.T) {
	k := &taker{err: errors.New("the database is away")}
	status, text := deliver(t, k, invoicePaid, sign(invoicePaid, "new", time.Now()))
	if status != http.StatusServiceUnavailable || strings.Contains(text, "database") {
		t.Errorf("answer %d %s, want 503 that tells nothing of the inside", status, text)
	}
}

// TestAnswerComesWithinASecond: Stripe gives up on an endpoint that is slow, and delivers again to one that says so.
func TestAnswerComesWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/stripe", strings.NewReader(invoicePaid))
		r.Header.Set("Stripe-Signature", sign(invoicePaid, "new", time.Now()))
		w := httptest.NewRecorder()
		begun := time.Now()
		webhook.Handler([]string{"new"}, stuck{}).ServeHTTP(w, r)
		if took := time.Since(begun); w.Code != http.StatusServiceUnavailable || took >= time.Second {
			t.Errorf("answer %d after %v, want 503 within a second", w.Code, took)
		}
	})
}

// stuck is a store that waits for a lock.
type stuck struct{}

func (stuck) Take(ctx context.Context, _ plan.Notice) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestSecrets(t *testing.T) {
	if got, err := webhook.Secrets(" whsec_a ,whsec_b,"); err != nil || len(got) != 2 || got[0] != "whsec_a" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := webhook.Secrets(" , "); err == nil {
		t.Error("an empty list was taken: every signature by the empty secret would pass")
	}
}
