package message

import (
	"slices"
	"time"

	"tenure/shared/events"
)

// reactions is the table of who is told what. What a good turn supersedes is listed beside it: while the mail server is
// away a suspension may be over before its mail has left.
var reactions = table(
	on(func(p *events.TenantActivated) Reaction {
		return Reaction{Send: send(Welcome, Facts{Plan: p.Plan}), Supersede: []Template{ProvisioningFailed}}
	}),
	on(func(*events.ProvisioningFailed) Reaction {
		return Reaction{Send: send(ProvisioningFailed, Facts{})}
	}),
	on(func(p *events.UpgradeCompleted) Reaction {
		return Reaction{Send: send(PlanChanged, Facts{FromPlan: p.FromPlan, Plan: p.Plan})}
	}),
	on(func(p *events.DowngradeCompleted) Reaction {
		return Reaction{
			Send:      send(PlanChanged, Facts{FromPlan: p.FromPlan, Plan: p.Plan}),
			Supersede: []Template{DowngradeScheduled},
		}
	}),
	on(func(p *events.DowngradeScheduled) Reaction {
		return Reaction{Send: send(DowngradeScheduled, Facts{FromPlan: p.FromPlan, Plan: p.Plan, Until: p.DueAt})}
	}),
	on(func(*events.DowngradeCancelled) Reaction {
		return Reaction{Supersede: []Template{DowngradeScheduled}}
	}),
	on(func(p *events.PaymentPastDue) Reaction {
		return Reaction{Send: send(PaymentFailed, Facts{Until: value(p.GraceEndsAt)}), Supersede: []Template{Recovered}}
	}),
	on(func(*events.PaymentRecovered) Reaction {
		return Reaction{Send: send(Recovered, Facts{}), Supersede: []Template{PaymentFailed}}
	}),
	on(func(p *events.TenantSuspended) Reaction {
		return Reaction{Send: send(Suspended, Facts{Cause: cause(p.Blocks)}), Supersede: []Template{PaymentFailed, Recovered}}
	}),
	on(func(p *events.TrialExpired) Reaction {
		return Reaction{Send: send(Suspended, Facts{Cause: cause(p.Blocks)})}
	}),
	on(func(p *events.ExportCompleted) Reaction {
		return Reaction{Send: send(ExportReady, Facts{ExportID: p.ExportID})}
	}),
	on(func(p *events.DeletionRequested) Reaction {
		return Reaction{
			Send:      send(DeletionScheduled, Facts{Until: p.ScheduledFor, RetentionDays: p.RetentionDays}),
			Supersede: []Template{PaymentFailed, Suspended, DowngradeScheduled},
		}
	}),
	on(func(*events.DeletionCancelled) Reaction {
		return Reaction{Supersede: farewells}
	}),
	on(func(*events.ReactivationStarted) Reaction {
		return Reaction{Supersede: farewells}
	}),
	on(func(p *events.TenantReactivated) Reaction {
		return Reaction{Send: send(Returned, Facts{Plan: p.Plan, Fresh: !p.RestoreData}), Supersede: farewells}
	}),
	// From here on the address is only known to the mail that says that all is gone; everything else is out of date.
	on(func(*events.PurgeStarted) Reaction {
		return Reaction{Hold: send(Deleted, Facts{}), Supersede: allBut(Deleted)}
	}),
	on(func(p *events.TenantPurged) Reaction {
		return Reaction{Release: send(Deleted, Facts{Certificate: p.Certificate})}
	}),
)

// farewells are the mails that a tenant who comes back must not get any more.
var farewells = []Template{PaymentFailed, Suspended, DeletionScheduled, Deleted}

func allBut(kept Template) []Template {
	return slices.DeleteFunc(Templates(), func(t Template) bool { return t == kept })
}

// Templates lists all mails.
func Templates() []Template {
	return []Template{
		Welcome, ProvisioningFailed, PlanChanged, DowngradeScheduled, PaymentFailed, Suspended, Recovered,
		ExportReady, DeletionScheduled, Deleted, Returned,
	}
}

// entry is one row of the table.
type entry struct {
	eventType string
	react     func(events.Payload) Reaction
}

// on makes a row for the events whose payload is P.
func on[P events.Payload](react func(P) Reaction) entry {
	var zero P
	return entry{zero.EventType(), func(p events.Payload) Reaction { return react(p.(P)) }}
}

func table(entries ...entry) map[string]func(events.Payload) Reaction {
	rows := make(map[string]func(events.Payload) Reaction, len(entries))
	for _, e := range entries {
		rows[e.eventType] = e.react
	}
	return rows
}

func send(t Template, f Facts) []Draft { return []Draft{{t, f}} }

// cause is the block that a suspended tenant has to hear of: what it can mend itself comes last.
func cause(blocks []events.Block) string {
	has := func(kind string) bool {
		return slices.ContainsFunc(blocks, func(b events.Block) bool { return b.Kind == kind })
	}
	switch {
	case has("admin"), has("abuse"):
		return "admin"
	case has("payment"):
		return "payment"
	case has("trial"):
		return "trial"
	}
	return "admin"
}

func value(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
