// Package verify checks offline what the deletion service signs: certificates, and the roots of the log.
//
// A certificate carries the public key that it is signed with, so that it can be checked on its own: that shows that
// nobody has changed it. Who signed it shows only against keys that were got from Tenure another way, from
// GET /v1/keys; see Certificate.
package verify

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"tenure/services/deletion/internal/certificate"
	"tenure/services/deletion/internal/purge"
)

// ErrInvalid is in every error that says that a certificate proves nothing.
var ErrInvalid = errors.New("the certificate is not valid")

// Kind is what a certificate is about.
type Kind string

// The kinds of certificates.
const (
	// Deletion is the end of one life of a tenant.
	Deletion Kind = "deletion"
	// Retention is the end of data of one class that outlived its tenant because a law asks for it.
	Retention Kind = "retention"
	// Subject is the erasure of one person's rows in a living tenant.
	Subject Kind = "subject"
)

// Report tells what a valid certificate says. What a kind does not have is zero.
type Report struct {
	Kind        Kind   `json:"kind"`
	TenantID    string `json:"tenant_id"`
	Generation  int64  `json:"generation,omitempty"`
	OperationID string `json:"operation_id"`
	// Class of the data that was kept, and the law that it was kept by.
	Class string `json:"class,omitempty"`
	Basis string `json:"basis,omitempty"`

	Policy Policy `json:"policy,omitzero"`

	RequestedAt time.Time `json:"requested_at,omitzero"`
	// ScheduledFor is before when nothing was destroyed.
	ScheduledFor time.Time `json:"scheduled_for,omitzero"`
	// DueBy is when the law wants a person's erasure to be done.
	DueBy      time.Time `json:"due_by,omitzero"`
	FinishedAt time.Time `json:"finished_at"`

	// Stores were all found empty; Erased is what they held before, as far as it was counted.
	Stores     int         `json:"stores"`
	Erased     int64       `json:"erased"`
	Exceptions []Exception `json:"exceptions,omitempty"`
	// ChainHead is the end of the tenant's log at the time.
	ChainHead ChainHead `json:"chain_head,omitzero"`

	// KeyID is the key that signed. Trusted: it is one that the caller named; otherwise compare it with Tenure's.
	KeyID   string `json:"key_id"`
	Trusted bool   `json:"trusted"`
}

// What a certificate is made of.
type (
	Policy    = purge.Policy
	Exception = purge.Exception
	ChainHead = purge.ChainHead
)

// Certificate checks that the document is what was signed, by one of the trusted keys if any are given, and that
// what it says is a complete erasure, not before its time. The error wraps ErrInvalid.
func Certificate(document []byte, trusted ...ed25519.PublicKey) (Report, error) {
	signed, err := certificate.Open(document, trusted...)
	if err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	r, err := read(signed.Content)
	if err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	r.KeyID, r.Trusted = certificate.KeyID(signed.PublicKey), signed.Trusted
	return r, nil
}

// read checks the content by its kind.
func read(content []byte) (Report, error) {
	var kind struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(content, &kind); err != nil {
		return Report{}, err
	}
	switch kind.Format {
	case purge.RetentionFormat:
		return checked(content, ofRetention)
	case purge.ReceiptFormat:
		return checked(content, ofSubject)
	}
	return checked(content, ofDeletion) // whose check knows its formats
}

func checked[C interface{ Check() error }](content []byte, report func(C) Report) (Report, error) {
	var c C
	if err := json.Unmarshal(content, &c); err != nil {
		return Report{}, err
	}
	if err := c.Check(); err != nil {
		return Report{}, err
	}
	return report(c), nil
}

func ofDeletion(c purge.Certificate) Report {
	return Report{
		Kind: Deletion, TenantID: c.Tenant, Generation: c.Generation, OperationID: c.OperationID, Policy: c.Policy,
		RequestedAt: c.RequestedAt, ScheduledFor: c.ScheduledFor, FinishedAt: c.FinishedAt,
		Stores: len(c.Stores), Erased: erased(c.Stores), Exceptions: c.Exceptions, ChainHead: c.ChainHead,
	}
}

func ofRetention(c purge.RetentionCertificate) Report {
	return Report{
		Kind: Retention, TenantID: c.Tenant, Generation: c.Generation, OperationID: c.OperationID, Class: c.Class, Basis: c.Basis,
		ScheduledFor: c.Until, FinishedAt: c.FinishedAt, Stores: len(c.Stores), Erased: erased(c.Stores),
	}
}

func ofSubject(r purge.Receipt) Report {
	return Report{
		Kind: Subject, TenantID: r.Tenant, OperationID: r.RequestID, RequestedAt: r.RequestedAt, DueBy: r.DueBy, FinishedAt: r.FinishedAt,
		Stores: len(r.Stores), Erased: erased(r.Stores), Exceptions: r.Exceptions,
	}
}

func erased(stores []purge.StoreCount) (rows int64) {
	for _, s := range stores {
		if s.Before != nil {
			rows += *s.Before
		}
	}
	return rows
}

// ParseKey reads a public key as GET /v1/keys shows it.
func ParseKey(text string) (ed25519.PublicKey, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, errors.New("a public key is 32 bytes in base64, as GET /v1/keys shows it")
	}
	return key, nil
}
