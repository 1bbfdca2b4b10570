package message

import (
	"slices"
	"time"

	"tenure/shared/events"
)

// reactions is the table of what tenants are told, from the events of every service. What an event takes back is listed
// beside what it asks for: while the mail server is away a suspension may be over before its mail has left.
var reactions = table(
	on(func(p *events.TenantRegistered) Reaction { return birth(p.Generation) }),
	on(func(p *events.TenantReborn) Reaction { return birth(p.Generation) }),
	on(func(p *events.TenantActivated) Reaction {
		return Reaction{Send: send(Welcome, Facts{Plan: p.Plan}), Supersede: []Template{ProvisioningFailed}}
	}),
	on(func(*events.ProvisioningFailed) Reaction {
		return Reaction{Send: send(ProvisioningFailed, Facts{})}
	}),
	on(func(p *events.TrialExpired) Reaction {
		return Reaction{Send: suspension(p.Blocks), Supersede: dunning}
	}),

	when(func(o occasion, p *events.UpgradeCompleted) Reaction {
		return Reaction{Send: planChanged(o, p.FromPlan, p.Plan), Supersede: []Template{UsageAlert}}
	}),
	on(func(p *events.DowngradeScheduled) Reaction {
		return Reaction{Send: send(DowngradeScheduled, Facts{FromPlan: p.FromPlan, Plan: p.Plan, Until: p.DueAt})}
	}),
	when(func(o occasion, p *events.DowngradeCancelled) Reaction {
		r := Reaction{Supersede: []Template{DowngradeScheduled}}
		// Who has called it off, or asked for what it made way for, knows it.
		if len(p.Violations) > 0 || o.byTenure() && !p.Superseded {
			r.Send = send(DowngradeDropped, Facts{Plan: p.Plan, Reason: p.Reason, Exceeded: p.Violations})
		}
		return r
	}),
	when(func(o occasion, p *events.DowngradeCompleted) Reaction {
		return Reaction{Send: planChanged(o, p.FromPlan, p.Plan), Supersede: []Template{DowngradeScheduled}}
	}),
	on(func(p *events.UsageThresholdReached) Reaction {
		return Reaction{Send: send(UsageAlert, Facts{
			Plan: p.Plan, Metric: p.Metric, Percent: p.Percent, Usage: p.Usage, Limit: p.Limit, Period: p.Period,
		})}
	}),

	when(func(o occasion, p *events.PaymentPastDue) Reaction { return owing(o, p.To, p.GraceEndsAt) }),
	on(func(*events.TenantExempted) Reaction { return Reaction{Supersede: dunning} }),
	when(func(o occasion, p *events.ExemptionEnded) Reaction {
		if p.GraceEndsAt == nil {
			return Reaction{} // it owes nothing
		}
		return owing(o, p.To, p.GraceEndsAt)
	}),
	on(func(*events.PaymentRecovered) Reaction {
		return Reaction{Send: send(Recovered, Facts{}), Supersede: dunning}
	}),
	on(suspended),

	on(func(p *events.ExportCompleted) Reaction {
		return Reaction{Send: send(ExportReady, Facts{ExportID: p.ExportID})}
	}),
	when(func(o occasion, p *events.ArchiveCompleted) Reaction {
		return Reaction{Schedule: expiryReminder(o, p)}
	}),

	when(func(o occasion, p *events.DeletionRequested) Reaction {
		return Reaction{
			Send:      send(DeletionScheduled, Facts{Until: p.ScheduledFor, RetentionDays: p.RetentionDays}),
			Schedule:  deletionReminders(o, p.ScheduledFor),
			Supersede: []Template{Suspended, TrialEnded, DowngradeScheduled, UsageAlert},
			HoldBack:  dunning, // the grace goes on meanwhile, and holds again for a tenant that returns within it
		}
	}),
	// A return may fail. Then the deadline is where it was, and so are the mails about it.
	on(func(*events.DeletionCancelled) Reaction { return Reaction{HoldBack: partings} }),
	on(func(*events.ReactivationStarted) Reaction { return Reaction{HoldBack: partings} }),
	on(func(*events.ReactivationFailed) Reaction { return Reaction{Resume: partings} }),
	on(returned),
	// From here on the address is only known to the mail that says that all is gone; everything else is out of date.
	on(func(p *events.PurgeStarted) Reaction {
		return Reaction{
			Hold: send(Deleted, Facts{}), Supersede: allBut(Deleted, OperatorAlert),
			Life: &Life{Generation: p.Generation, Ended: true},
		}
	}),
	on(func(p *events.TenantPurged) Reaction {
		return Reaction{Release: send(Deleted, Facts{Certificate: p.Certificate, Generation: p.Generation})}
	}),
)

// partings are the mails about a suspension or a deletion: a tenant who comes back must not get them any more.
var partings = []Template{Suspended, TrialEnded, DeletionScheduled, DeletionReminder}

// dunning are the mails that ask for a payment.
var dunning = []Template{PaymentFailed, PaymentReminder, PaymentLastCall}

// birth takes back what a former life of the same id has left, but for its farewell, which knows its own address.
func birth(generation int64) Reaction {
	return Reaction{Life: &Life{Generation: generation}, Supersede: allBut(Deleted, OperatorAlert)}
}

// suspended ends the dunning when it has come to what it warned of. Another suspension leaves the grace as it is.
func suspended(p *events.TenantSuspended) Reaction {
	r := Reaction{Send: suspension(p.Blocks), Supersede: []Template{Recovered}}
	if blocked(p.Blocks, "payment") {
		r.Supersede = append(r.Supersede, dunning...)
	} else {
		r.HoldBack = dunning
	}
	return r
}

func suspension(blocks []events.Block) []Draft {
	// What a tenant can mend itself comes last: a payment does not lift an operator's block.
	switch imposed := blocked(blocks, "admin") || blocked(blocks, "abuse"); {
	case !imposed && blocked(blocks, "payment"):
		return send(Suspended, Facts{Cause: "payment"})
	case !imposed && blocked(blocks, "trial"):
		return send(TrialEnded, Facts{})
	}
	return send(Suspended, Facts{Cause: "admin"})
}

func blocked(blocks []events.Block, kind string) bool {
	return slices.ContainsFunc(blocks, func(b events.Block) bool { return b.Kind == kind })
}

// returned ends the mails about the absence, and lets the dunning go on where the tenant comes back to its grace.
func returned(p *events.TenantReactivated) Reaction {
	r := Reaction{Send: send(Returned, Facts{Plan: p.Plan, Fresh: !p.RestoreData}), Supersede: slices.Clone(partings)}
	if p.To == statePastDue {
		r.Resume = dunning
	} else {
		r.Supersede = append(r.Supersede, dunning...)
	}
	return r
}

func allBut(kept ...Template) []Template {
	return slices.DeleteFunc(Templates(), func(t Template) bool { return slices.Contains(kept, t) })
}

// occasion is what a rule may look at beside the payload.
type occasion struct {
	at    time.Time // of the event
	actor string
	rules Rules
}

// byTenure reports whether nobody asked for it: its time had come, by the lifecycle's clock or by Stripe's.
func (o occasion) byTenure() bool { return o.actor == "system:timer" || o.actor == "service:billing" }

// entry is one row of a table.
type entry struct {
	eventType string
	react     func(occasion, events.Payload) Reaction
}

// when makes a row for the events whose payload is P.
func when[P events.Payload](react func(occasion, P) Reaction) entry {
	var zero P
	return entry{zero.EventType(), func(o occasion, p events.Payload) Reaction { return react(o, p.(P)) }}
}

// on is when for a rule that the payload is enough for.
func on[P events.Payload](react func(P) Reaction) entry {
	return when(func(_ occasion, p P) Reaction { return react(p) })
}

func table(entries ...entry) map[string]func(occasion, events.Payload) Reaction {
	rows := make(map[string]func(occasion, events.Payload) Reaction, len(entries))
	for _, e := range entries {
		rows[e.eventType] = e.react
	}
	return rows
}

func send(t Template, f Facts) []Draft { return []Draft{{t, f}} }
