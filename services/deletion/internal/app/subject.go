package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenure/services/connectors"
	"tenure/services/deletion/internal/purge"
	"tenure/services/deletion/internal/store"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/retention"
	"tenure/shared/telemetry"
)

// Why a request to erase a person is refused.
var (
	ErrUnknownTenant = errors.New("there is no such tenant, or its purge has begun")
	ErrKeyReused     = errors.New("the idempotency key was used for another request")
	ErrNoSubjects    = errors.New("no store of the data map names the persons whose rows it holds")
)

// SubjectRequest asks to erase one person's rows in a tenant.
type SubjectRequest struct {
	Tenant string
	// Subject is the person's key as the SaaS knows it. It is personal data.
	Subject string
	// Reason and Actor say why and by whom it was asked.
	Reason, Actor string
	// Key makes the same request one request; "" is none.
	Key string
}

// hash tells a repeated request from another under the same key, when the person's key is long forgotten.
func (r SubjectRequest) hash(requestID string) []byte {
	return purge.SubjectHash(requestID, r.Subject+"\n"+r.Reason)
}

// RequestSubjectErasure stores a request, which a worker then carries out; a legal hold makes it wait. It is due one
// calendar month from now, by the database's clock.
func (a *App) RequestSubjectErasure(ctx context.Context, r SubjectRequest) (*store.SubjectErasure, error) {
	// Not in the transaction: a key that is used at the same time shows only when that use is committed.
	if known, err := a.repeated(ctx, r); known != nil || err != nil {
		return known, err
	}
	if !a.namesPersons() {
		return nil, ErrNoSubjects
	}
	now, err := store.Now(ctx, a.DB)
	if err != nil {
		return nil, err
	}
	id := uuid.Must(uuid.NewV7()).String()
	s := &store.SubjectErasure{
		RequestID: id, TenantID: r.Tenant, Subject: r.Subject, ContentSHA256: r.hash(id), Reason: r.Reason,
		RequestedBy: r.Actor, RequestedAt: now, DueBy: retention.MonthAfter(now), Key: r.Key, Status: store.StatusOpen,
	}
	opened, err := a.openSubjectErasure(ctx, *s)
	switch {
	case err != nil:
		return nil, err
	case opened:
		a.jobs.Wake()
		return s, nil
	}
	if known, err := a.repeated(ctx, r); known != nil || err != nil {
		return known, err
	}
	return nil, ErrUnknownTenant
}

// repeated finds the request that was made under the same key.
func (a *App) repeated(ctx context.Context, r SubjectRequest) (*store.SubjectErasure, error) {
	if r.Key == "" {
		return nil, nil
	}
	known, err := store.SubjectErasureByKey(ctx, a.DB, r.Tenant, r.Key)
	if known == nil || err != nil {
		return nil, err
	}
	if !bytes.Equal(known.ContentSHA256, r.hash(known.RequestID)) {
		return nil, ErrKeyReused
	}
	return known, nil
}

func (a *App) openSubjectErasure(ctx context.Context, s store.SubjectErasure) (opened bool, err error) {
	err = pg.WithTx(ctx, a.DB, func(tx pgx.Tx) error {
		if opened, err = store.OpenSubjectErasure(ctx, tx, s); err != nil || !opened {
			return err
		}
		return store.Enqueue(ctx, tx, store.Job{
			TenantID: s.TenantID, StepID: s.RequestID, OperationID: s.RequestID, Operation: purge.OperationSubject, Action: purge.ActionErase,
			CauseID: s.RequestID, CorrelationID: s.RequestID, TraceParent: telemetry.TraceParent(ctx),
		}, time.Time{})
	})
	return opened, err
}

func (a *App) namesPersons() bool {
	for _, s := range a.Stores {
		if a.keptFromSubject(s.Traits()) == nil {
			return true
		}
	}
	return false
}

// keptFromSubject leaves out what names nobody, and what a law asks to be kept (GDPR, Article 17(3)(b)).
func (a *App) keptFromSubject(t connectors.Traits) *purge.Store {
	if !t.Subjects {
		return &purge.Store{Stays: "it does not name the persons whose rows it holds"}
	}
	return a.keptClass(t.Class)
}

// eraseSubject erases one person's rows and signs that they are gone.
func (a *App) eraseSubject(l *lease) error {
	request, err := store.SubjectErasureOf(l.Context(), a.DB, l.job.OperationID)
	if err != nil {
		return err
	}
	if request == nil || request.Subject == "" {
		// "" would be the whole tenant. Nothing but a completed request has no key, and its job is gone.
		return fmt.Errorf("the request %s does not say whom to erase", l.job.OperationID)
	}
	of := connectors.Scope{Tenant: request.TenantID, Subject: request.Subject}
	if err := a.takeInventory(l, of, a.Stores, a.keptFromSubject); err != nil {
		return err
	}
	found, err := a.empty(l, of, a.Stores)
	if err != nil {
		return err
	}
	document, err := a.receipt(l, request)
	if err != nil {
		return err
	}
	fact := &events.SubjectErased{RequestID: request.RequestID}
	for _, s := range found {
		fact.Stores = append(fact.Stores, events.SubjectRows{Store: s.Name, Before: s.Rows()})
	}
	return a.complete(l, struct{}{}, func(ctx context.Context, tx pgx.Tx) error {
		if err := store.EndSubjectErasure(ctx, tx, request.RequestID, document); err != nil {
			return err
		}
		return store.EndOperation(ctx, tx, request.TenantID, request.RequestID)
	}, fact)
}

// receipt returns the signed proof.
func (a *App) receipt(l *lease, request *store.SubjectErasure) ([]byte, error) {
	counted, err := store.Counted(l.Context(), a.DB, request.TenantID, request.RequestID)
	if err != nil {
		return nil, err
	}
	now, err := store.Now(l.Context(), a.DB)
	if err != nil {
		return nil, err
	}
	content, err := purge.Subject{
		RequestID: request.RequestID, Tenant: request.TenantID, Key: request.Subject,
		RequestedAt: request.RequestedAt, DueBy: request.DueBy, Stores: counted,
	}.Receipt(now)
	if err != nil {
		return nil, err
	}
	signed, err := a.Signer.Sign(content)
	if err != nil {
		return nil, fmt.Errorf("sign the receipt of %s: %w", request.RequestID, err)
	}
	return signed, nil
}

// SubjectProgress is how far a request is.
type SubjectProgress struct {
	// Begun: a worker has taken it up. WaitsFor is why it is not done then.
	Begun    bool
	WaitsFor string

	Stores     []purge.StoreCount
	Exceptions []purge.Exception
}

// SubjectErasure returns a request and how far it is; nil when there is none.
func (a *App) SubjectErasure(ctx context.Context, requestID string) (*store.SubjectErasure, SubjectProgress, error) {
	var p SubjectProgress
	request, err := store.SubjectErasureOf(ctx, a.DB, requestID)
	if request == nil || err != nil {
		return nil, p, err
	}
	if request.Document != nil {
		var r purge.Receipt
		err := json.Unmarshal(request.Document, &r)
		p.Stores, p.Exceptions = r.Stores, r.Exceptions
		return request, p, err
	}
	if p.Begun, p.WaitsFor, err = store.Progress(ctx, a.DB, request.TenantID, requestID); err != nil {
		return nil, p, err
	}
	counted, err := store.Counted(ctx, a.DB, request.TenantID, requestID)
	p.Stores, p.Exceptions = purge.Counts(counted), purge.Left(counted)
	return request, p, err
}

// warningDays before its deadline an operator is told of a request that is not done.
const warningDays = 7

// warn tells of each request whose deadline is near.
func (a *App) warn(ctx context.Context) error {
	for ctx.Err() == nil {
		var late *purge.Subject
		err := a.inTx(ctx, func(tx pgx.Tx) (err error) {
			late, err = store.WarnOfSubjectErasure(ctx, tx, warningDays*a.cfg.Day)
			if err != nil || late == nil {
				return err
			}
			slog.WarnContext(ctx, "a person's erasure is not done, and its deadline is near", "request", late.RequestID, "due_by", late.DueBy)
			return a.tell(ctx, tx, cause{tenant: late.Tenant, id: late.RequestID, correlation: late.RequestID}, nil,
				&events.SubjectOverdue{RequestID: late.RequestID, DueBy: late.DueBy})
		})
		if err != nil || late == nil {
			return err
		}
	}
	return nil
}
