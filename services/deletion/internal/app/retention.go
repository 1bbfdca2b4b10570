package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/connectors"
	"tenure/services/deletion/internal/blob"
	"tenure/services/deletion/internal/purge"
	"tenure/services/deletion/internal/store"
	"tenure/shared/events"
)

// keptByLaw leaves out what the retention policy keeps: until its time counted from the beginning of a purge, and for as long as
// the tenant is there in every other operation.
func (a *App) keptByLaw(l *lease) (staying, error) {
	var started time.Time
	if l.job.Operation == purge.Operation {
		p, found, err := store.Purge(l.Context(), a.DB, l.job.TenantID, l.job.Generation)
		if err != nil {
			return nil, err
		}
		if !found || p.OperationID != l.job.OperationID {
			return nil, errNoPurge(l.job)
		}
		started = p.StartedAt
	}
	return func(t connectors.Traits) *purge.Store {
		s := a.keptClass(t.Class)
		if s != nil && !started.IsZero() {
			class, _ := a.Policy.Class(t.Class)
			until := started.Add(time.Duration(class.KeepDays) * a.cfg.Day)
			s.Until = &until
		}
		return s
	}, nil
}

// keptClass leaves out a class that the policy keeps.
func (a *App) keptClass(name string) *purge.Store {
	class, known := a.Policy.Class(name)
	if !known || class.KeepDays == 0 {
		return nil
	}
	return &purge.Store{Stays: "the retention policy keeps data of class " + name, Basis: class.Basis}
}

// retain arms the erasure of what a purge has left. No job is done before its time.
func (a *App) retain(ctx context.Context, tx pgx.Tx, e events.Event, kept []purge.Retention) error {
	for _, r := range kept {
		err := store.Enqueue(ctx, tx, store.Job{
			TenantID: r.Tenant, StepID: r.OperationID, OperationID: r.OperationID, Operation: purge.OperationRetention,
			Generation: r.Generation, Action: purge.ActionErase,
			CauseID: e.ID, CauseVersion: e.Sequence, CorrelationID: e.CorrelationID, TraceParent: e.TraceParent,
		}, r.Until)
		if err != nil {
			return err
		}
	}
	return nil
}

// endRetention erases data whose time is over and signs that it is gone.
func (a *App) endRetention(l *lease) error {
	r, err := store.RetentionOf(l.Context(), a.DB, l.job.OperationID)
	if err != nil {
		return err
	}
	stores, err := a.named(r.Stores)
	if err != nil {
		return err
	}
	of := connectors.Tenant(l.job.TenantID)
	if err := a.takeInventory(l, of, stores, nil); err != nil {
		return err
	}
	found, err := a.empty(l, of, stores)
	if err != nil {
		return err
	}
	document, err := a.retentionDocument(l, r, found)
	if err != nil {
		return err
	}
	proof, err := a.publish(l, blob.RetentionKey(r.Tenant, r.Generation, r.Class), document)
	if err != nil {
		return err
	}
	facts := append(erased(l.job, found), &events.CertificateIssued{
		OperationID: l.job.OperationID, Generation: l.job.Generation, Class: r.Class, Key: proof.Key, SHA256: proof.SHA256,
	})
	return a.complete(l, proof, func(ctx context.Context, tx pgx.Tx) error {
		if err := store.EndRetention(ctx, tx, r.OperationID); err != nil {
			return err
		}
		return store.EndOperation(ctx, tx, r.Tenant, r.OperationID)
	}, facts...)
}

// named finds stores by their names. One that is not on the data map any more cannot be shown to be empty.
func (a *App) named(names []string) ([]Store, error) {
	var out []Store
	for _, name := range names {
		i := slices.IndexFunc(a.Stores, func(s Store) bool { return s.Name() == name })
		if i < 0 {
			return nil, fmt.Errorf("store %s is not on the data map any more, but holds data that is to be erased now: put it back", name)
		}
		out = append(out, a.Stores[i])
	}
	return out, nil
}

func (a *App) retentionDocument(l *lease, r purge.Retention, found []purge.Store) ([]byte, error) {
	now, err := store.Now(l.Context(), a.DB)
	if err != nil {
		return nil, err
	}
	content, err := r.Certificate(found, now)
	if err != nil {
		return nil, err
	}
	signed, err := a.Signer.Sign(content)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of class %s of %s: %w", r.Class, r.Tenant, err)
	}
	return store.SaveRetentionCertificate(l.Context(), a.DB, r.OperationID, signed)
}

// publish puts a signed document where auditors find it.
func (a *App) publish(l *lease, key string, document []byte) (issued, error) {
	sum := sha256.Sum256(document)
	return issued{Key: key, SHA256: hex.EncodeToString(sum[:])}, a.Documents.Put(l.Context(), key, document)
}
