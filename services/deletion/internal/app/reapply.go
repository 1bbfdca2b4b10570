package app

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenure/services/connectors"
	"tenure/services/deletion/internal/blob"
	"tenure/services/deletion/internal/certificate"
	"tenure/services/deletion/internal/purge"
	"tenure/services/deletion/internal/store"
	"tenure/shared/events"
)

// ReapplyRequest asks to erase again what purged tenants had, after a backup brought it back.
type ReapplyRequest struct {
	// DryRun counts it, and erases nothing.
	DryRun bool
	Actor  string
	// Key makes the same request one request; "" is none.
	Key string
}

// Reapply looks for the tombstones of purged tenants and opens a job for each whose tenant has not come back. Those that
// the log shows alive are refused, each with the reason: what they have is their own.
func (a *App) Reapply(ctx context.Context, r ReapplyRequest) (*store.Reapplication, error) {
	if known, err := a.reapplied(ctx, r); known != nil || err != nil {
		return known, err
	}
	states, err := a.States(ctx)
	if err != nil {
		return nil, err
	}
	found, err := a.tombstones(ctx, states)
	if err != nil {
		return nil, err
	}
	now, err := store.Now(ctx, a.DB)
	if err != nil {
		return nil, err
	}
	request := store.Reapplication{
		ID: uuid.Must(uuid.NewV7()).String(), DryRun: r.DryRun, RequestedBy: r.Actor, RequestedAt: now, Key: r.Key,
	}
	opened := false
	err = a.inTx(ctx, func(tx pgx.Tx) (err error) {
		if opened, err = store.OpenReapplication(ctx, tx, request); err != nil || !opened {
			return err
		}
		return open(ctx, tx, request, found, states)
	})
	if err != nil {
		return nil, err
	}
	if !opened { // somebody was first with the same key
		return a.reapplied(ctx, r)
	}
	a.jobs.Wake()
	return &request, nil
}

// reapplied finds the request that was made under the same key.
func (a *App) reapplied(ctx context.Context, r ReapplyRequest) (*store.Reapplication, error) {
	if r.Key == "" {
		return nil, nil
	}
	known, err := store.ReapplicationByKey(ctx, a.DB, r.Key)
	if known != nil && known.DryRun != r.DryRun {
		return nil, ErrKeyReused
	}
	return known, err
}

// tombstone is one with its certificate, when only the bucket has that.
type tombstone struct {
	purge.Tombstone
	document []byte
	// refused: the bucket's certificate proves nothing.
	refused string
}

// tombstones are those of the database and, where it was restored and has forgotten some, of the bucket.
func (a *App) tombstones(ctx context.Context, states map[string]string) ([]tombstone, error) {
	known, err := store.Tombstones(ctx, a.DB)
	if err != nil {
		return nil, err
	}
	for key, err := range a.Bucket.Keys(ctx, blob.CertificatesPrefix, "") {
		if err != nil {
			return nil, err
		}
		if t, ok := purge.TombstoneOf(key); ok && t.Generation > known[t.Tenant].Generation {
			known[t.Tenant] = t
		}
	}
	found := make([]tombstone, 0, len(known))
	for _, t := range known {
		one := tombstone{Tombstone: t}
		if t.FoundIn == purge.FoundInBucket && t.Refuse(states[t.Tenant], true) == "" {
			if one.document, one.refused, err = a.adoptable(ctx, t); err != nil {
				return nil, err
			}
		}
		found = append(found, one)
	}
	return found, nil
}

// adoptable reads a certificate that only the bucket has. What this service did not sign may be put there by anybody who
// wants a tenant's data to be erased.
func (a *App) adoptable(ctx context.Context, t purge.Tombstone) (document []byte, refused string, err error) {
	trusted, err := trustedKeys(ctx, a.DB, a.Signer)
	if err != nil {
		return nil, "", err
	}
	if document, err = readDocument(ctx, a.Bucket, blob.Key(t.Tenant, t.Generation)); err != nil {
		return nil, "", err
	}
	signed, err := certificate.Open(document, trusted...)
	if err != nil {
		return nil, fmt.Sprintf("its certificate in the bucket is none of this service's: %v", err), nil
	}
	var content purge.Certificate
	_ = json.Unmarshal(signed.Content, &content) // what it does not say cannot be the tenant's
	if content.Tenant != t.Tenant || content.Generation != t.Generation {
		return nil, "its certificate in the bucket is another's", nil
	}
	return document, "", nil
}

// open stores what is to become of each tombstone. The ends of lives are looked for in the same transaction: whoever comes
// back from now on finds the job, and drops it.
func open(ctx context.Context, tx pgx.Tx, request store.Reapplication, found []tombstone, states map[string]string) error {
	tenants := make([]string, len(found))
	for i, t := range found {
		tenants[i] = t.Tenant
	}
	heard, err := store.HeardGone(ctx, tx, tenants)
	if err != nil {
		return err
	}
	all := make([]store.Reapplied, len(found))
	for i, t := range found {
		all[i] = store.Reapplied{Tombstone: t.Tombstone, Status: store.ReappliedOpen, Reason: t.refused}
		if all[i].Reason == "" {
			all[i].Reason = t.Refuse(states[t.Tenant], heard[t.Tenant])
		}
		switch {
		case all[i].Reason != "":
			all[i].Status = store.ReappliedRefused
		case t.document != nil:
			if _, err := store.SaveCertificate(ctx, tx, t.Tenant, t.Generation, t.document); err != nil {
				return err
			}
		}
	}
	return store.SaveReapplied(ctx, tx, request, all)
}

// reapply counts what the stores hold of a purged tenant and, unless that is all that was asked for, erases it.
func (a *App) reapply(l *lease) error {
	request, err := store.ReapplicationOf(l.Context(), a.DB, l.job.OperationID)
	if err != nil {
		return err
	}
	if request == nil {
		return fmt.Errorf("nobody has asked for %s", l.job.OperationID)
	}
	of := connectors.Tenant(l.job.TenantID)
	stores, stays, err := a.notKept(l)
	if err != nil {
		return err
	}
	if err := a.takeInventory(l, of, stores, stays); err != nil {
		return err
	}
	status, look := store.ReappliedErased, a.empty
	if request.DryRun {
		status, look = store.ReappliedCounted, a.counted
	}
	found, err := look(l, of, stores)
	if err != nil {
		return err
	}
	var rows int64
	for _, s := range found {
		rows += s.Rows()
	}
	var facts []events.Payload
	if rows > 0 && !request.DryRun {
		facts = append(facts, &events.TombstoneReapplied{ReapplicationID: request.ID, Generation: l.job.Generation, Rows: rows})
	}
	return a.complete(l, struct{}{}, func(ctx context.Context, tx pgx.Tx) error {
		if err := store.EndReapplied(ctx, tx, request.ID, l.job.TenantID, status, rows); err != nil {
			return err
		}
		return store.EndOperation(ctx, tx, l.job.TenantID, request.ID)
	}, facts...)
}

// counted is empty that erases nothing.
func (a *App) counted(l *lease, _ connectors.Scope, _ []Store) ([]purge.Store, error) {
	found, err := store.Counted(l.Context(), a.DB, l.job.TenantID, l.job.OperationID)
	return slices.DeleteFunc(found, func(s purge.Store) bool { return s.Stays != "" }), err
}

// notKept are the stores and the personal data of a purged tenant, but for what its certificate, or the retention policy
// for a store that came onto the data map since, keeps for longer than until now.
func (a *App) notKept(l *lease) ([]Store, staying, error) {
	document, found, err := store.Certificate(l.Context(), a.DB, l.job.TenantID, l.job.Generation)
	if err != nil {
		return nil, nil, err
	}
	if !found {
		return nil, nil, errNoPurge(l.job)
	}
	var c purge.Certificate
	if err := json.Unmarshal(document, &c); err != nil {
		return nil, nil, fmt.Errorf("read the certificate of %s: %w", l.job.TenantID, err)
	}
	now, err := store.Now(l.Context(), a.DB)
	if err != nil {
		return nil, nil, err
	}
	kept := func(s Store) bool {
		return slices.ContainsFunc(c.Exceptions, func(e purge.Exception) bool {
			return e.Store == s.Name() && e.Until != nil && now.Before(*e.Until)
		})
	}
	stores := slices.DeleteFunc(slices.Concat(a.Stores, []Store{a.contacts(l.job.Generation)}), kept)
	return stores, func(t connectors.Traits) *purge.Store {
		class, known := a.Policy.Class(t.Class)
		if !known || !now.Before(c.StartedAt.Add(time.Duration(class.KeepDays)*a.cfg.Day)) {
			return nil
		}
		return a.keptClass(t.Class)
	}, nil
}

// Reapplication returns a request and what became of each tombstone; nil when there is none.
func (a *App) Reapplication(ctx context.Context, id string) (*store.Reapplication, []store.Reapplied, error) {
	request, err := store.ReapplicationOf(ctx, a.DB, id)
	if request == nil || err != nil {
		return nil, nil, err
	}
	all, err := store.ReappliedOf(ctx, a.DB, id)
	return request, all, err
}
