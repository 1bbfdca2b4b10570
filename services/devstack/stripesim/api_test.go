package stripesim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
)

// answer is a raw answer of the API.
type answer struct {
	status   int
	replayed bool
	body     string
}

// post sends a form with a key and without stripe-go, to see the bare answer.
func (s *sim) post(ctx context.Context, path, key string, form url.Values) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Authorization", "Bearer "+apiKey)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header.Get("Idempotent-Replayed") == "true", string(body)}, err
}

func (s *sim) mustPost(path, key string, form url.Values) answer {
	s.t.Helper()
	a, err := s.post(s.t.Context(), path, key, form)
	return must(s.t, a, err)
}

func (s *sim) fault(path, outcome string, times int) {
	s.t.Helper()
	s.control(http.MethodPost, "/_sim/faults", object{"path_prefix": path, "method": "POST", "outcome": outcome, "times": times}, nil)
}

func (s *sim) customers() int {
	s.t.Helper()
	n := 0
	for list := s.api.Customers.List(nil); list.Next(); n++ {
	}
	return n
}

var acme = url.Values{"name": {"Acme"}}

func TestAKeyReplaysItsFirstAnswer(t *testing.T) {
	s := start(t)
	first := s.mustPost("/v1/customers", "k1", acme)
	again := s.mustPost("/v1/customers", "k1", acme)
	equal(t, "status", again.status, http.StatusOK)
	equal(t, "first is a replay", first.replayed, false)
	equal(t, "second is a replay", again.replayed, true)
	equal(t, "body", again.body, first.body)
	equal(t, "customers", s.customers(), 1)

	t.Run("not for other parameters", func(t *testing.T) {
		other := s.mustPost("/v1/customers", "k1", url.Values{"name": {"Other"}})
		if other.status != http.StatusBadRequest || !strings.Contains(other.body, `"idempotency_error"`) {
			t.Errorf("answer is %d %s", other.status, other.body)
		}
	})
	t.Run("not for another address", func(t *testing.T) {
		other := s.mustPost("/v1/products", "k1", acme)
		if other.status != http.StatusBadRequest || !strings.Contains(other.body, "same endpoint") {
			t.Errorf("answer is %d %s", other.status, other.body)
		}
	})
	t.Run("not after 24 hours", func(t *testing.T) {
		s.advance(24*time.Hour + time.Second)
		late := s.mustPost("/v1/customers", "k1", acme)
		equal(t, "a replay", late.replayed, false)
		equal(t, "customers", s.customers(), 2)
	})
}

func TestWhatAKeyKeeps(t *testing.T) {
	s := start(t)
	for _, c := range []struct {
		outcome string
		kept    bool
	}{
		{"500", true},
		{"502", true},
		{"402", true},
		{"429", false},
		{"503", false},
		{"400", false},
		{"401", false},
		{"409", false},
	} {
		t.Run(c.outcome, func(t *testing.T) {
			s.fault("/v1/customers", c.outcome, 1)
			first := s.mustPost("/v1/customers", c.outcome, acme)
			equal(t, "first", fmt.Sprint(first.status), c.outcome)
			again := s.mustPost("/v1/customers", c.outcome, acme)
			equal(t, "replayed", again.replayed, c.kept)
			equal(t, "succeeded", again.status == http.StatusOK, !c.kept)
		})
	}
	t.Run("no refused parameter", func(t *testing.T) {
		first := s.mustPost("/v1/prices", "bad", url.Values{"currency": {"usd"}})
		again := s.mustPost("/v1/prices", "bad", url.Values{"currency": {"usd"}, "unit_amount": {"1"}, "product_data[name]": {"x"}})
		equal(t, "first", first.status, http.StatusBadRequest)
		equal(t, "second", again.status, http.StatusOK)
	})
	t.Run("a refusal for what was found", func(t *testing.T) {
		sub := s.subscribe("refused", s.price("r", 1000))
		invoice := "/v1/invoices/" + sub.LatestInvoice.ID + "/pay"
		first := s.mustPost(invoice, "paid", nil)
		equal(t, "status", first.status, http.StatusBadRequest)
		again := s.mustPost(invoice, "paid", nil)
		equal(t, "replayed", again.replayed, true)
		equal(t, "body", again.body, first.body)
	})
	t.Run("a declined card", func(t *testing.T) {
		s.card("declined", "decline")
		form := url.Values{
			"customer": {s.customer("declined").ID}, "items[0][price]": {s.price("p", 1000).ID},
			"payment_behavior": {"error_if_incomplete"},
		}
		first := s.mustPost("/v1/subscriptions", "card", form)
		s.card("declined", "ok")
		again := s.mustPost("/v1/subscriptions", "card", form)
		equal(t, "status", first.status, http.StatusPaymentRequired)
		equal(t, "replay", again.replayed, true)
		equal(t, "body", again.body, first.body)
	})
}

func TestALostAnswer(t *testing.T) {
	s := start(t)
	s.fault("/v1/customers", "drop_after_apply", 2)
	for range 2 {
		if _, err := s.post(t.Context(), "/v1/customers", "k1", acme); err == nil {
			t.Fatal("the answer was to be lost")
		}
	}
	replay := s.mustPost("/v1/customers", "k1", acme)
	equal(t, "replay", replay.replayed, true)
	equal(t, "customers", s.customers(), 1)

	applied := 0
	for _, call := range s.log() {
		if call.Method == http.MethodPost && call.Applied {
			applied++
		}
	}
	equal(t, "applied calls in the log", applied, 1)
}

func TestATimeoutDoesNothingAndHoldsItsKey(t *testing.T) {
	s := start(t)
	s.fault("/v1/customers", "timeout", 1)
	ctx, cancel := context.WithCancel(t.Context())
	hung := make(chan error)
	go func() {
		_, err := s.post(ctx, "/v1/customers", "k1", acme)
		hung <- err
	}()
	s.until("the call", func() bool { return len(s.log()) > 0 })
	meanwhile := s.mustPost("/v1/customers", "k1", acme)
	equal(t, "second call while the first hangs", meanwhile.status, http.StatusConflict)
	cancel()
	if err := <-hung; err == nil {
		t.Fatal("the call was to hang")
	}
	var last answer
	s.until("the release of the key", func() bool {
		last = s.mustPost("/v1/customers", "k1", acme)
		return last.status != http.StatusConflict
	})
	equal(t, "status", last.status, http.StatusOK)
	equal(t, "a replay", last.replayed, false)
	equal(t, "customers", s.customers(), 1)
}

func TestFaultsMatchInTheirOrder(t *testing.T) {
	s := start(t)
	s.fault("/v1/customers", "503", 2)
	s.control(http.MethodPost, "/_sim/faults", object{"path_prefix": "/v1", "outcome": 429}, nil) // a number, once
	var statuses []int
	for range 4 {
		statuses = append(statuses, s.mustPost("/v1/customers", "", acme).status)
	}
	equal(t, "statuses", fmt.Sprint(statuses), "[503 503 429 200]")

	s.fault("/v1/customers", "500", 7)
	var listed []object
	s.control(http.MethodGet, "/_sim/faults", nil, &listed)
	equal(t, "faults", len(listed), 1)
	s.control(http.MethodDelete, "/_sim/faults", nil, nil)
	equal(t, "status", s.mustPost("/v1/customers", "", acme).status, http.StatusOK)
}

func TestRefusals(t *testing.T) {
	s := start(t)
	if _, err := newClient(s.url, "sk_test_other").Customers.Get("cus_1", nil); status(err) != http.StatusUnauthorized {
		t.Errorf("another key answers %v", err)
	}
	_, err := s.api.Customers.Get("cus_none", nil)
	e, ok := errors.AsType[*stripe.Error](err)
	if !ok || e.HTTPStatusCode != http.StatusNotFound || e.Code != stripe.ErrorCodeResourceMissing ||
		e.Type != stripe.ErrorTypeInvalidRequest || e.RequestID == "" || !strings.Contains(e.Msg, "cus_none") {
		t.Errorf("an unknown customer answers %v", err)
	}
	for _, c := range []struct {
		path  string
		form  url.Values
		param string
	}{
		{"/v1/customers", url.Values{"nonsense": {"1"}}, "nonsense"},
		{"/v1/customers", url.Values{"invoice_settings[other]": {"1"}}, "invoice_settings[other]"},
		{"/v1/subscriptions", url.Values{"customer": {"cus_none"}}, "customer"},
		{"/v1/prices", url.Values{"currency": {"usd"}, "product": {"p"}, "unit_amount": {"ten"}}, "unit_amount"},
	} {
		refused := s.mustPost(c.path, "", c.form)
		if refused.status != http.StatusBadRequest || !strings.Contains(refused.body, `"param": "`+c.param+`"`) {
			t.Errorf("%s %v answers %d %s", c.path, c.form, refused.status, refused.body)
		}
	}
	equal(t, "an unknown address", s.mustPost("/v1/unicorns", "", nil).status, http.StatusNotFound)
}

func status(err error) int {
	if e, ok := errors.AsType[*stripe.Error](err); ok {
		return e.HTTPStatusCode
	}
	return 0
}

func TestPages(t *testing.T) {
	s := start(t)
	var made []string
	for i := range 25 {
		made = append(made, s.customer(fmt.Sprint("t", i)).ID)
	}
	params := &stripe.CustomerListParams{}
	params.Limit = stripe.Int64(10)
	var listed []string
	for list := s.api.Customers.List(params); list.Next(); {
		listed = append(listed, list.Customer().ID)
	}
	equal(t, "customers", len(listed), 25)
	for i, id := range listed {
		equal(t, fmt.Sprint("newest first, ", i), id, made[len(made)-1-i])
	}

	before := &stripe.CustomerListParams{}
	before.EndingBefore, before.Limit, before.Single = &made[10], stripe.Int64(3), true
	list := s.api.Customers.List(before)
	var newer []string
	for list.Next() {
		newer = append(newer, list.Customer().ID)
	}
	equal(t, "the page before", fmt.Sprint(newer), fmt.Sprint([]string{made[11], made[12], made[13]})) // stripe-go walks it backwards
	equal(t, "more", list.Meta().HasMore, true)

	found := s.api.Customers.Search(&stripe.CustomerSearchParams{SearchParams: stripe.SearchParams{Query: "metadata['tenant_id']:'t7'"}})
	if !found.Next() || found.Customer().ID != made[7] || found.Next() {
		t.Errorf("the search found another customer (%v)", found.Err())
	}
}

func TestLookupKeysAreOfOnePrice(t *testing.T) {
	s := start(t)
	first := s.price("starter", 1000)
	params := &stripe.PriceParams{
		Currency: stripe.String("usd"), UnitAmount: stripe.Int64(2000), LookupKey: stripe.String("starter"), Product: &first.Product.ID,
	}
	if _, err := s.api.Prices.New(params); status(err) != http.StatusBadRequest {
		t.Errorf("a key in use answers %v", err)
	}
	params.TransferLookupKey = stripe.Bool(true)
	next, err := s.api.Prices.New(params)
	must(t, next, err)
	list := s.api.Prices.List(&stripe.PriceListParams{LookupKeys: []*string{stripe.String("starter")}})
	if !list.Next() || list.Price().ID != next.ID || list.Next() {
		t.Errorf("the key leads elsewhere (%v)", list.Err())
	}
}

func TestExpansion(t *testing.T) {
	s := start(t)
	sub := s.subscribe("acme", s.price("starter", 1000))
	params := &stripe.SubscriptionParams{}
	for _, path := range []string{"customer", "latest_invoice.charge", "items.data.price.product", "default_payment_method"} {
		params.AddExpand(path)
	}
	full, err := s.api.Subscriptions.Get(sub.ID, params)
	must(t, full, err)
	equal(t, "customer", full.Customer.Metadata["tenant_id"], "acme")
	equal(t, "charge", full.LatestInvoice.Charge.Amount, 1000)
	equal(t, "product", full.Items.Data[0].Price.Product.Name, "starter")

	wrong := &stripe.SubscriptionParams{}
	wrong.AddExpand("status")
	if _, err := s.api.Subscriptions.Get(sub.ID, wrong); status(err) != http.StatusBadRequest {
		t.Errorf("a field that is no reference answers %v", err)
	}
}
