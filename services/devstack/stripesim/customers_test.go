package stripesim_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/stripe/stripe-go/v76"
)

// As https://docs.stripe.com/api/customers/delete has it: a deleted customer is still answered for, its subscriptions are
// cancelled at once, its cards are gone, and what it has paid stays.
func TestADeletedCustomer(t *testing.T) {
	s := start(t)
	sub := s.subscribe("acme", s.price("starter", 1000))
	id := sub.Customer.ID
	gone, err := s.api.Customers.Del(id, nil)
	equal(t, "deleted", must(t, gone, err).Deleted, true)
	equal(t, "id", gone.ID, id)
	equal(t, "object", gone.Object, "customer")

	read, err := s.api.Customers.Get(id, nil)
	equal(t, "read as deleted", must(t, read, err).Deleted, true)
	equal(t, "status", s.subscription(sub.ID).Status, stripe.SubscriptionStatusCanceled)
	if cards := s.api.PaymentMethods.List(&stripe.PaymentMethodListParams{Customer: &id}); cards.Next() {
		t.Errorf("a card is left: %s", cards.PaymentMethod().ID)
	}
	invoices := s.api.Invoices.List(&stripe.InvoiceListParams{Customer: &id})
	equal(t, "an invoice stays", invoices.Next(), true)
	equal(t, "net", s.net("acme"), 1000)
	for _, want := range []string{"customer.subscription.deleted", "customer.deleted"} {
		if told := s.events("acme"); !slices.Contains(told, want) {
			t.Errorf("no %s among %v", want, told)
		}
	}

	var refused *stripe.Error
	if _, err := s.api.Customers.Del(id, nil); !errors.As(err, &refused) || refused.HTTPStatusCode != http.StatusNotFound ||
		refused.Code != stripe.ErrorCodeResourceMissing {
		t.Errorf("deleted again: %v", err)
	}
	if _, err := s.api.Subscriptions.New(&stripe.SubscriptionParams{
		Customer: &id, Items: []*stripe.SubscriptionItemsParams{{Price: stripe.String(sub.Items.Data[0].Price.ID)}},
	}); err == nil {
		t.Error("a deleted customer subscribes")
	}
}
