package stripeapi_test

import "testing"

func TestACustomerIsDeletedOnceAndStaysSo(t *testing.T) {
	s := simulate(t)
	id, err := s.CreateCustomer(t.Context(), "key", "acme", 1)
	if err != nil {
		t.Fatal(err)
	}
	exists := func(id string, want bool) {
		t.Helper()
		if got, err := s.CustomerExists(t.Context(), id); err != nil || got != want {
			t.Errorf("%s exists: %v, %v", id, got, err)
		}
	}
	exists(id, true)
	for range 2 { // whoever got no answer asks again
		if err := s.DeleteCustomer(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		exists(id, false)
	}
	exists("cus_nobody", false)
}
