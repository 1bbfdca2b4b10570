package tenant

import (
	"slices"
	"testing"
	"time"

	"tenure/shared/events"
)

func TestPaidSignUp(t *testing.T) {
	w := newWorld(t)
	w.do(CmdRegister, &events.Register{Plan: "starter", Region: "eu", GDPR: true}, "tenant.registered")
	w.is(PendingPayment)
	if p := last[*events.TenantRegistered](w); !p.RequiresPayment || p.Generation != 1 || !p.SignupExpiresAt.Equal(epoch.Add(day)) {
		t.Errorf("registered as %+v", p)
	}
	w.refused(CodePaymentUnverified, CmdConfirmPayment, &events.ConfirmPayment{})
	w.do(CmdPaymentFailed, &PaymentFailed{})
	w.do(CmdConfirmPayment, &ConfirmPayment{Status: "active"},
		"payment.confirmed", "provisioning.started", "step.requested", "step.requested")
	w.is(Provisioning)
	if got := last[*events.ProvisioningStarted](w).Operation.Steps[0]; got.Participant != billing || got.Phase != 0 {
		t.Errorf("the payment is not the step before the first: %+v", got)
	}
	w.done("sample", actionProvision)
	w.done("search", actionProvision, "tenant.activated")
	w.is(Active)
	if s := w.state; s.Plan != "starter" || s.Region != "eu" || !s.GDPR || s.Lease != nil || s.CreatedAt != epoch {
		t.Errorf("state %+v", s)
	}
	w.refused(CodeInvalidTransition, CmdRegister, &events.Register{Plan: "starter"})
}

func TestFreeSignUpNeedsNoPaymentAndNoParticipants(t *testing.T) {
	w := newWorld(t)
	w.facts.Participants = nil
	w.do(CmdRegister, &events.Register{Plan: "free"}, "tenant.registered", "provisioning.started", "tenant.activated")
	w.is(Active)
}

func TestSignUpIsRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		p    events.Register
		code string
	}{
		{"unknown plan", events.Register{Plan: "gold"}, CodeUnknownPlan},
		{"negative trial", events.Register{Plan: "starter", TrialDays: -1}, CodeInvalidArgument},
		{"endless trial", events.Register{Plan: "starter", TrialDays: 366}, CodeInvalidArgument},
		{"trial of what is free", events.Register{Plan: "free", TrialDays: 7}, CodeInvalidArgument},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r := newWorld(t).refused(c.code, CmdRegister, &c.p); r.Kind != Invalid {
				t.Errorf("kind %s", r.Kind)
			}
		})
	}
}

func TestSignUpExpiresAndFreesTheID(t *testing.T) {
	w := signedUp(t, "starter", 0)
	if got := w.armed(); !slices.Equal(got, []string{TimerSignupExpiry}) {
		t.Fatalf("armed %v", got)
	}
	w.fire(TimerSignupExpiry, "signup.abandoned")
	w.is(Abandoned)
	w.do(CmdRegister, &events.Register{Plan: "starter"}, "tenant.registered")
	if w.state.Generation != 2 {
		t.Errorf("generation %d", w.state.Generation)
	}
	w.do(CmdCancelSignup, &events.CancelSignup{Reason: "too dear"}, "signup.abandoned")
	if p := last[*events.SignupAbandoned](w); p.Reason != "too dear" {
		t.Errorf("reason %q", p.Reason)
	}
}

// The payment of a sign-up that was given up may become known when the next one waits for its own.
func TestAPaymentOfAFormerLifeIsNone(t *testing.T) {
	w := signedUp(t, "starter", 0).after(CmdCancelSignup, &events.CancelSignup{})
	w.after(CmdRegister, &events.Register{Name: "Acme", Email: "it@example.com", Plan: "enterprise"})
	w.do(CmdConfirmPayment, &ConfirmPayment{Generation: 1, Status: "active"})
	w.is(PendingPayment)
	w.after(CmdConfirmPayment, &ConfirmPayment{Generation: 2, Status: "active"})
	w.is(Provisioning)
	w.do(CmdPaymentFailed, &PaymentFailed{Generation: 1})
}

func TestFailedProvisioningIsRetriedOrAbandoned(t *testing.T) {
	w := signedUp(t, "starter", 0).after(CmdConfirmPayment, &ConfirmPayment{Status: "active"})
	w.failed("sample", actionProvision, "provisioning.failed")
	w.is(ProvisioningFailed)
	w.do(CmdRetryProvisioning, &events.RetryProvisioning{}, "provisioning.retried", "step.requested", "step.requested")
	w.done("search", actionProvision)
	w.failed("sample", actionProvision, "provisioning.failed")

	// Resources go first, then the money, the id last.
	w.do(CmdAbandon, &events.Abandon{}, "step.requested", "step.requested")
	w.refused(CodeOperationInProgress, CmdAbandon, &events.Abandon{})
	w.refused(CodeOperationInProgress, CmdRetryProvisioning, &events.RetryProvisioning{})
	w.done("search", actionProvision)
	w.done("sample", actionProvision, "step.requested")
	if p := last[*events.StepRequested](w); p.Participant != billing || !p.Compensate || p.FromPlan != "starter" || p.ToPlan != "" {
		t.Errorf("the money is asked back with %+v", p)
	}
	w.is(ProvisioningFailed)
	w.done(billing, actionBill, "provisioning.rolled_back")
	w.is(Abandoned)
}

func TestAbandonGetsStuckAndUnstuck(t *testing.T) {
	w := signedUp(t, "starter", 0).after(CmdConfirmPayment, &ConfirmPayment{Status: "active"})
	w.failed("sample", actionProvision, "provisioning.failed")
	w.after(CmdAbandon, &events.Abandon{})
	w.done("search", actionProvision)
	w.failed("sample", actionProvision)
	if !w.state.NeedsOperator() {
		t.Fatal("it waits for nobody")
	}
	w.do(CmdRetryOperation, &RetryOperation{}, "step.requested")
	w.finish()
	w.is(Abandoned)
}

func TestTrial(t *testing.T) {
	w := trialing(t)
	if !w.state.TrialEndsAt.Equal(epoch.Add(14 * day)) {
		t.Errorf("the trial ends at %s", w.state.TrialEndsAt)
	}
	w.refused(CodePaymentUnverified, CmdConvertTrial, &events.ConvertTrial{})
	w.do(CmdConfirmPayment, &ConfirmPayment{Status: "trialing"})
	w.do(CmdConfirmPayment, &ConfirmPayment{Status: "active"}, "trial.converted")
	w.is(Active)
	if len(w.armed()) > 0 {
		t.Errorf("still armed: %v", w.armed())
	}
}

func TestTrialEndsUnpaidAndIsPaidLater(t *testing.T) {
	w := trialing(t)
	w.fire(TimerTrialEnd, "trial.expired")
	w.is(Suspended)
	w.do(CmdConfirmPayment, &ConfirmPayment{Status: "trialing"})
	w.do(CmdConfirmPayment, &ConfirmPayment{Status: "active"}, "reactivation.started", "tenant.reactivated")
	w.is(Active)
}

func TestUpgradeInATrialKeepsTheTrial(t *testing.T) {
	w := trialing(t).after(CmdUpgrade, &events.Upgrade{Plan: "enterprise"})
	w.finish()
	w.is(Trialing)
	if w.state.Plan != "enterprise" || w.state.TrialEndsAt.IsZero() {
		t.Errorf("state %+v", w.state)
	}
}

func TestTrialPaidDuringAnUpgradeIsOver(t *testing.T) {
	w := trialing(t).after(CmdUpgrade, &events.Upgrade{Plan: "professional"})
	w.do(CmdConfirmPayment, &ConfirmPayment{Status: "active"}, "trial.converted")
	w.is(Upgrading)
	w.finish()
	w.is(Active)
}

func TestTrialPaidAfterTheGraceIsOver(t *testing.T) {
	w := trialing(t)
	w.do(CmdPaymentFailed, &PaymentFailed{}, "payment.past_due")
	w.fire(TimerGraceEnd, "tenant.suspended")
	w.now = w.now.Add(30 * day)
	w.do(CmdPaymentRecovered, &PaymentRecovered{}, "trial.converted", "reactivation.started", "tenant.reactivated")
	w.is(Active)
}

func TestDayScalesTheTrial(t *testing.T) {
	w := newWorld(t)
	w.facts.Policy.Day = time.Second
	w.after(CmdRegister, &events.Register{Plan: "starter", TrialDays: 14})
	if !w.state.TrialEndsAt.Equal(epoch.Add(14 * time.Second)) {
		t.Errorf("the trial ends at %s", w.state.TrialEndsAt)
	}
}
