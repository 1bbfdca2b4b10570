package message

import "tenure/shared/events"

// alarms is the table of the events that call an operator: nothing goes on by itself, or a promise is broken. The mail
// names ids alone; error texts come from participants, and may hold anything.
var alarms = table(
	on(func(p *events.ProvisioningFailed) Reaction {
		return alert(p, Facts{OperationID: p.OperationID})
	}),
	on(func(p *events.UpgradeStuck) Reaction {
		return alert(p, Facts{OperationID: p.OperationID})
	}),
	on(func(p *events.DowngradeStuck) Reaction {
		return alert(p, Facts{OperationID: p.OperationID})
	}),
	on(func(p *events.ComplianceViolation) Reaction {
		return alert(p, Facts{Kind: p.Kind})
	}),
	on(func(p *events.DriftFound) Reaction {
		if p.Healed {
			return Reaction{}
		}
		return alert(p, Facts{Kind: p.Kind, SubscriptionID: p.SubscriptionID, Plan: p.Plan, LivePlan: p.LivePlan})
	}),
	on(func(p *events.ArchiveOverdue) Reaction {
		return alert(p, Facts{ExportID: p.ExportID, Until: p.DueBy})
	}),
	on(func(p *events.PurgeStepFailed) Reaction {
		return alert(p, Facts{OperationID: p.OperationID})
	}),
	on(func(p *events.ErasureStuck) Reaction {
		return alert(p, Facts{OperationID: p.OperationID, Kind: p.Operation})
	}),
	on(func(p *events.SubjectOverdue) Reaction {
		return alert(p, Facts{OperationID: p.RequestID, Until: p.DueBy})
	}),
	on(func(p *events.DeletionApprovalRequested) Reaction { return alert(p, Facts{}) }),
	on(func(p *events.HoldReleaseRequested) Reaction { return alert(p, Facts{}) }),
)

func alert(p events.Payload, f Facts) Reaction {
	_, f.Event = events.SplitType(p.EventType())
	return Reaction{Alert: []Draft{{OperatorAlert, f}}}
}
