package app

import (
	"context"
	"fmt"
	"time"

	"tenure/services/lifecycle/internal/store"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/inbox"
)

// WantsFact picks what the lifecycle acts on of the other services' events.
func WantsFact(eventType string) bool {
	payload, ok := events.NewPayload(eventType)
	if !ok {
		return false
	}
	switch payload.(type) {
	case *events.BillingPaymentConfirmed, *events.BillingPaymentFailed, *events.BillingPaymentRecovered,
		*events.SubscriptionCreated, *events.SubscriptionChanged, *events.SubscriptionCancelled, *events.UsageUpdated,
		*events.ArchiveCompleted, *events.ArchiveFailed, *events.ResidueFound:
		return true
	}
	return false
}

// ReactToFact turns a service's event into a command, in the order in which the service wrote it. The command is
// committed before the event counts as taken; when the event comes again in between, its key finds the command done.
func (e *Engine) ReactToFact(ctx context.Context, ev events.Event) (inbox.Commit, error) {
	p, err := ev.Payload()
	if err != nil {
		return nil, fault.Permanent(err)
	}
	switch p := p.(type) {
	case *events.BillingPaymentConfirmed:
		return nil, e.paid(ctx, ev, p.CurrentPeriodEnd, tenant.CmdConfirmPayment,
			&tenant.ConfirmPayment{Generation: p.Generation, SubscriptionID: p.SubscriptionID, Status: p.Status})
	case *events.BillingPaymentRecovered:
		return nil, e.paid(ctx, ev, p.CurrentPeriodEnd, tenant.CmdPaymentRecovered,
			&tenant.PaymentRecovered{Generation: p.Generation, SubscriptionID: p.SubscriptionID, Status: p.Status})
	case *events.BillingPaymentFailed:
		return nil, e.follow(ctx, ev, tenant.CmdPaymentFailed,
			&tenant.PaymentFailed{Generation: p.Generation, SubscriptionID: p.SubscriptionID, InvoiceID: p.InvoiceID, Status: p.Status})
	case *events.SubscriptionCreated:
		return nil, e.savePeriod(ctx, ev.Subject, p.CurrentPeriodEnd)
	case *events.SubscriptionChanged:
		return nil, e.paid(ctx, ev, p.CurrentPeriodEnd, tenant.CmdChangeDue,
			&tenant.ChangeDue{Generation: p.Generation, SubscriptionID: p.SubscriptionID, Plan: p.Plan})
	case *events.SubscriptionCancelled:
		if p.AtPeriodEnd {
			return nil, nil // it goes on until then
		}
		return nil, e.ended(ctx, ev, &tenant.ChangeDue{Generation: p.Generation, SubscriptionID: p.SubscriptionID})
	case *events.UsageUpdated:
		return nil, e.updateUsage(ctx, ev, p)
	case *events.ArchiveCompleted:
		return nil, e.follow(ctx, ev, tenant.CmdCompleteExport, &tenant.CompleteExport{ExportID: p.ExportID, SHA256: p.SHA256, Bytes: p.Bytes})
	case *events.ArchiveFailed:
		return nil, e.follow(ctx, ev, tenant.CmdFailExport, &tenant.FailExport{ExportID: p.ExportID, Error: p.Error})
	case *events.ResidueFound:
		return nil, e.follow(ctx, ev, tenant.CmdReportResidue, &tenant.ReportResidue{Store: p.Store, Rows: p.Rows, Generation: p.Generation})
	}
	return nil, nil
}

// follow submits the command and waits until it is settled. A refusal settles it: it stands in the log.
func (e *Engine) follow(ctx context.Context, ev events.Event, name string, payload events.Payload) error {
	return settle(e.Submit(ctx, fromService(ev, name, payload)))
}

// GatesApplied tells that all live gates have taken a step in. Several replicas may tell so.
func (e *Engine) GatesApplied(ctx context.Context, id, step string, attempt int) error {
	key := fmt.Sprintf("gates/%s/%d", step, attempt)
	return settle(e.Submit(ctx, Submission{
		Tenant: id, Name: tenant.CmdCompleteStep, Key: key, CausationID: key, CorrelationID: key, Actor: "service:" + tenant.Gates,
		Payload: &tenant.CompleteStep{StepID: step, Participant: tenant.Gates},
	}))
}

// paid follows news of a subscription that is paid for until end. The period is stored first: a downgrade that is asked for
// as soon as the command has made it possible waits for that end.
func (e *Engine) paid(ctx context.Context, ev events.Event, end *time.Time, name string, payload events.Payload) error {
	if err := e.savePeriod(ctx, ev.Subject, end); err != nil {
		return err
	}
	return e.follow(ctx, ev, name, payload)
}

// ended follows the news that nothing is charged any more. A downgrade has nothing to wait for then.
func (e *Engine) ended(ctx context.Context, ev events.Event, due *tenant.ChangeDue) error {
	if err := store.SavePeriodEnd(ctx, e.db, ev.Subject, nil); err != nil {
		return err
	}
	return e.follow(ctx, ev, tenant.CmdChangeDue, due)
}

// savePeriod stores until when the tenant has paid, if that was told.
func (e *Engine) savePeriod(ctx context.Context, id string, end *time.Time) error {
	if end == nil {
		return nil
	}
	return store.SavePeriodEnd(ctx, e.db, id, end)
}

// updateUsage stores the figures first: the command that follows looks at them.
func (e *Engine) updateUsage(ctx context.Context, ev events.Event, p *events.UsageUpdated) error {
	usage := tenant.Usage{Queries: p.Queries, Documents: p.Documents, StorageGB: p.StorageGB}
	if err := store.SaveUsage(ctx, e.db, ev.Subject, usage, p.Period); err != nil {
		return err
	}
	return e.follow(ctx, ev, tenant.CmdCheckUsage, &tenant.CheckUsage{})
}
