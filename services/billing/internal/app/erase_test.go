package app_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tenure/shared/bus"
	"tenure/shared/events"
)

// erase is the step of a purge in which the customer is deleted.
func erase(generation int64) *events.StepRequested {
	s := bill("purge1", "starter", "")
	s.StepID, s.Action, s.Generation = "purge1-erase", "erase", generation
	return s
}

// wantErased compares the answer to a step, which is all that was told since the last call.
func (f *fixture) wantErased(want string) {
	f.Helper()
	all := f.toldEvents()
	if len(all) != 1 {
		f.Fatalf("%d events were told, want the answer alone", len(all))
	}
	answer, err := all[0].DecodeAnswer()
	if err != nil {
		f.Fatal(err)
	}
	if got := string(answer.Result) + answer.Error; !strings.Contains(got, want) {
		f.Errorf("answered %s, want %s", got, want)
	}
}

func TestAPurgeDeletesTheCustomer(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.send(bill("purge1", "starter", ""))
	f.wantTold("subscription.cancelled", "step.completed")

	f.send(erase(1))
	f.wantErased(`{"before":1,"after":0,"exceptions":[{"what":"invoices and payments at Stripe","reason":"tax law`)
	if diff := cmp.Diff([]string{"cus_acme1"}, f.stripe.gone); diff != "" {
		t.Errorf("deleted (-want +got):\n%s", diff)
	}

	// The lifecycle has not heard the answer and asks again: nothing is deleted again, and the count is the same.
	again := erase(1)
	again.Attempt = 2
	changes := f.stripe.changes
	f.send(again)
	f.wantErased(`{"before":1,"after":0`)
	if f.stripe.changes != changes {
		t.Error("something was changed at Stripe")
	}
}

func TestLateNewsOfADeletedCustomerAreRecordedAndNeverApplied(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.send(bill("purge1", "starter", ""))
	f.send(erase(1))
	f.send(&events.TenantPurged{OperationID: "purge1", Generation: 1})
	f.told()
	// The fake refuses every look at a deleted customer.
	for _, kind := range []string{"customer.subscription.deleted", "invoice.paid", "invoice.payment_failed"} {
		f.news("cus_acme1", kind)
	}
	f.wantTold()
	if n := len(f.undelivered("acme")); n != 0 {
		t.Errorf("%d news wait", n)
	}
}

func TestAReturningTenantHasACustomerOfItsOwn(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.send(bill("purge1", "starter", ""))
	f.send(erase(1))
	f.send(&events.TenantPurged{OperationID: "purge1", Generation: 1})
	f.told()

	f.send(&events.TenantReborn{Generation: 2})
	provision := bill("provision2", "", "starter")
	provision.Generation = 2
	f.send(provision)
	f.wantTold("subscription.created", "payment.confirmed", "step.completed")
	if !slices.ContainsFunc(f.stripe.keys, func(key string) bool { return strings.HasPrefix(key, "acme/2/") }) {
		t.Error("no customer was made for the new life")
	}

	// Its end deletes its own customer, and leaves the one before as it is.
	end := bill("purge2", "starter", "")
	end.Generation = 2
	f.send(end)
	f.told()
	gone := erase(2)
	gone.OperationID, gone.StepID = "purge2", "purge2-erase"
	f.send(gone)
	f.wantErased(`{"before":1,"after":0`)
	if diff := cmp.Diff([]string{"cus_acme1", "cus_acme2"}, f.stripe.gone); diff != "" {
		t.Errorf("deleted (-want +got):\n%s", diff)
	}
}

func TestALifeThatNeverPaidLeavesTheOneBeforeAlone(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.send(bill("purge1", "starter", ""))
	f.send(erase(1))
	f.send(&events.TenantPurged{OperationID: "purge1", Generation: 1})
	f.told()
	f.send(&events.TenantReborn{Generation: 2})
	f.send(&events.DeletionRequested{}) // of a free plan: the last account is the deleted one
	gone := erase(2)
	gone.OperationID, gone.StepID = "purge2", "purge2-erase"
	f.send(gone)
	f.wantErased(`{"before":0,"after":0}`)
}

func TestAStripeThatLiesIsAskedAgain(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.send(bill("purge1", "starter", ""))
	f.told()
	f.stripe.survives = 2
	f.stripe.fail = true // and is away at first
	f.send(erase(1))
	f.wantErased(`{"before":1,"after":0`)
	if len(f.stripe.gone) != 1 {
		t.Errorf("deleted: %v", f.stripe.gone)
	}
}

func TestNothingButAPurgeDeletesACustomer(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	for _, operation := range []string{"reactivate", "downgrade", "provision"} {
		s := erase(1)
		s.Operation, s.StepID = operation, operation+"-erase"
		f.send(s)
		f.wantErased("in a purge alone")
	}
	back := erase(1)
	back.Compensate, back.StepID = true, "back"
	f.send(back)
	f.wantErased("in a purge alone")
	if len(f.stripe.gone) != 0 {
		t.Errorf("deleted: %v", f.stripe.gone)
	}
}

// A customer is deleted, and then the process is killed.
func TestADeletedCustomerWhoseAnswerIsLost(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.send(bill("purge1", "starter", ""))
	f.told()
	e := f.event(erase(1))
	if _, err := f.app.React(t.Context(), e); err != nil { // and nothing is committed
		t.Fatal(err)
	}
	if _, err := f.handle(t.Context(), []bus.Message{{Event: e}}); err != nil {
		t.Fatal(err)
	}
	f.wantErased(`{"before":1,"after":0`)
	if len(f.stripe.gone) != 1 {
		t.Errorf("deleted: %v", f.stripe.gone)
	}
}
