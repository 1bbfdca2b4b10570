package events

import "slices"

// MailOf names the mail that a tenant gets at once because of p, by the notifier's name for its template; it is empty when
// there is none. Mails that follow by the clock, such as reminders, are not among them.
//
// It is here so that a preview can tell what a command would send. What is sent decides the notifier's own table, to which
// its tests hold this one.
func MailOf(p Payload) string {
	switch p := p.(type) {
	case *TenantActivated:
		return "welcome"
	case *ProvisioningFailed:
		return "provisioning_failed"
	case *UpgradeCompleted, *DowngradeCompleted:
		return "plan_changed"
	case *DowngradeScheduled:
		return "downgrade_scheduled"
	case *DowngradeCancelled:
		if len(p.Violations) > 0 {
			return "downgrade_dropped"
		}
	case *PaymentPastDue:
		if p.To == "past_due" {
			return "payment_failed"
		}
	case *ExemptionEnded:
		if p.To == "past_due" && p.GraceEndsAt != nil {
			return "payment_failed"
		}
	case *PaymentRecovered:
		return "recovered"
	case *TenantSuspended:
		return suspensionMail(p.Blocks)
	case *TrialExpired:
		return suspensionMail(p.Blocks)
	case *UsageThresholdReached:
		return "usage_alert"
	case *ExportCompleted:
		return "export_ready"
	case *DeletionRequested:
		return "deletion_scheduled"
	case *TenantPurged:
		return "deleted"
	case *TenantReactivated:
		return "returned"
	}
	return ""
}

// suspensionMail tells a trial's end from other suspensions, when nothing else that closes access is there beside.
func suspensionMail(blocks []Block) string {
	has := func(kinds ...string) bool {
		return slices.ContainsFunc(blocks, func(b Block) bool { return slices.Contains(kinds, b.Kind) })
	}
	if has("trial") && !has("payment", "admin", "abuse") {
		return "trial_ended"
	}
	return "suspended"
}
