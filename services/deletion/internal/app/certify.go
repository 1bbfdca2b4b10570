package app

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/connectors"
	"tenure/services/deletion/internal/blob"
	"tenure/services/deletion/internal/purge"
	"tenure/services/deletion/internal/store"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/vault"
)

// issued is the result of the step certify.
type issued struct {
	// Key is where the certificate is in the object store.
	Key    string `json:"key"`
	SHA256 string `json:"sha256"`
}

// certify destroys the keys of the tenant's personal data, once nothing else is left to do, and signs. They go last,
// since every mail about the deletion needs the address.
func (a *App) certify(l *lease) error {
	p, started, err := store.Purge(l.Context(), a.DB, l.job.TenantID, l.job.Generation)
	if err != nil {
		return err
	}
	if !started || p.OperationID != l.job.OperationID {
		return errNoPurge(l.job)
	}
	if left := p.Unfinished(a.names()); len(left) > 0 {
		return fmt.Errorf("the purge is not complete: %q", left)
	}
	if err := a.clearStore(l, a.contacts(l.job.Generation), connectors.Tenant(l.job.TenantID)); err != nil {
		return err
	}
	document, err := a.document(l)
	if err != nil {
		return err
	}
	proof, err := a.publish(l, blob.Key(l.job.TenantID, l.job.Generation), document)
	if err != nil {
		return err
	}
	return a.complete(l, proof, nil, &events.CertificateIssued{
		OperationID: l.job.OperationID, Generation: l.job.Generation, Key: proof.Key, SHA256: proof.SHA256,
	})
}

func errNoPurge(j *store.Job) error {
	return fault.Permanent(fmt.Errorf("operation %s is not the purge of generation %d", j.OperationID, j.Generation))
}

// document returns the signed certificate. It is kept before it goes anywhere: whoever does the step again after a
// crash finds the same bytes.
func (a *App) document(l *lease) ([]byte, error) {
	kept, found, err := store.Certificate(l.Context(), a.DB, l.job.TenantID, l.job.Generation)
	if err != nil || found {
		return kept, err
	}
	p, _, err := store.Purge(l.Context(), a.DB, l.job.TenantID, l.job.Generation)
	if err != nil {
		return nil, err
	}
	now, err := store.Now(l.Context(), a.DB)
	if err != nil {
		return nil, err
	}
	head, err := a.chainHead(l)
	if err != nil {
		return nil, err
	}
	content, err := p.Certificate(append(a.names(), purge.VaultStore), head, now)
	if err != nil {
		return nil, err
	}
	signed, err := a.Signer.Sign(content)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", l.job.TenantID, err)
	}
	return store.SaveCertificate(l.Context(), a.DB, l.job.TenantID, l.job.Generation, signed)
}

// chainHead is the end of the tenant's log as it is known here, which is not before the request for the certificate. Of a
// log that was not followed from its beginning the hash is not known.
func (a *App) chainHead(l *lease) (purge.ChainHead, error) {
	head, err := store.ChainHead(l.Context(), a.DB, l.job.TenantID)
	if err != nil {
		return purge.ChainHead{}, err
	}
	if head.Version == 0 {
		return purge.ChainHead{Version: l.job.CauseVersion, EventID: l.job.CauseID}, nil
	}
	return purge.ChainHead{
		Version: head.Version, EventID: fmt.Sprintf("%s.%d", l.job.TenantID, head.Version), Hash: hex.EncodeToString(head.Hash),
	}, nil
}

func (a *App) contacts(generation int64) contacts { return contacts{a.Vault, a.DB, generation} }

// contacts is the personal data of one life of a tenant, and of those before, as a store.
type contacts struct {
	vault      *vault.Vault
	db         *pgxpool.Pool
	generation int64
}

func (contacts) Name() string { return purge.VaultStore }

func (contacts) Traits() connectors.Traits {
	return connectors.Traits{Kind: "vault", Targets: []string{"the key of the tenant's name and address"}}
}

// Bytes are not worth counting.
func (contacts) Bytes(context.Context, connectors.Scope) (int64, error) { return 0, nil }

func (c contacts) Erase(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	return nil, c.vault.Shred(ctx, c.db, of.Tenant, c.generation)
}

func (c contacts) Verify(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	_, err := c.vault.Get(ctx, c.db, of.Tenant, c.generation)
	switch {
	case err == nil:
		return connectors.Counts{"contacts": 1}, nil
	case errors.Is(err, vault.ErrNotFound), errors.Is(err, vault.ErrShredded):
		return nil, nil
	}
	return nil, err
}
