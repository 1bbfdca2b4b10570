package app_test

import (
	"strings"
	"testing"

	"tenure/services/billing/internal/plan"
	"tenure/shared/events"
)

// returning is the bill of a tenant that comes back with a coupon.
func returning(to, coupon string) *events.StepRequested {
	step := bill("reactivate1", "starter", to)
	step.Coupon = coupon
	return step
}

func TestAReturnWithACouponAfterTheSubscriptionIsGone(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.stripe.subs[0].Status = plan.Canceled
	f.send(returning("starter", goodCoupon))
	f.wantTold("subscription.created", "step.completed")
	if s := f.subscription(); s.ID != "sub_2" || s.Coupon != goodCoupon {
		t.Errorf("on %+v", s)
	}
}

func TestAReturnPutsTheCouponOnTheSubscriptionThatIsThere(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.send(&events.DeletionRequested{})
	f.send(returning("professional", goodCoupon))
	f.told()
	if s := f.subscription(); s.ID != "sub_1" || s.Coupon != goodCoupon || s.Plan != "professional" || s.CancelAtPeriodEnd {
		t.Errorf("on %+v", s)
	}

	f.send(undo(returning("professional", goodCoupon)))
	if s := f.subscription(); s.Coupon != "" || s.Plan != "starter" || !s.CancelAtPeriodEnd {
		t.Errorf("taken back, on %+v", s)
	}
}

// The coupon leaves the subscription with the invoice that it counted for. Whoever does the work again must not take that
// for a coupon that was never there.
func TestACouponIsRedeemedOnceThoughTheAnswerIsLost(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.stripe.lose, f.stripe.loseAfter = true, 1 // behind the change of plan
	step := f.event(returning("professional", goodCoupon))
	keys := len(f.stripe.keys)
	f.deliver(step)
	redeemed := 0
	for _, key := range f.stripe.keys[keys:] {
		if strings.Contains(key, "/"+string(plan.Redeem)+"/") {
			redeemed++
		}
	}
	if redeemed != 1 {
		t.Errorf("redeemed %d times: %v", redeemed, f.stripe.keys[keys:])
	}
	f.wantTold("subscription.changed", "step.completed")
}

func TestABadCouponFailsTheStepForGoodAndSaysWhy(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.told()
	f.send(returning("professional", "NEVER"))
	told := f.toldEvents()
	answer, err := told[len(told)-1].DecodeAnswer()
	if err != nil || !answer.Permanent || !strings.Contains(answer.Error, "no such coupon") {
		t.Errorf("answered %+v, %v", answer, err)
	}
	if f.stripe.charged() != 4900 || f.subscription().Plan != "starter" {
		t.Errorf("charged %d, on %+v", f.stripe.charged(), f.subscription())
	}
}
