package verify

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"tenure/services/deletion/internal/certificate"
	"tenure/services/deletion/internal/roots"
)

// ErrInvalidRoot is in every error that says that a root of the log, or its leaves, proves nothing.
var ErrInvalidRoot = errors.New("the root is not valid")

// Root is a genuine root of the log: a signed statement about where every tenant's log ended.
type Root struct {
	Date    string
	TakenAt time.Time
	Tenants int64
	Events  int64
	// Previous is the date of the root before; "" for the first.
	Previous string

	// KeyID is the key that signed. Trusted: it is one that the caller named; otherwise compare it with Tenure's.
	KeyID   string
	Trusted bool

	content roots.Root
	sha256  string
}

// Head is the end of one tenant's log in a root.
type Head = roots.Head

// LogRoot checks that the document is what was signed, by one of the trusted keys if any are given. The error wraps
// ErrInvalidRoot.
func LogRoot(document []byte, trusted ...ed25519.PublicKey) (Root, error) {
	content, signed, err := roots.Open(document, trusted...)
	if err != nil {
		return Root{}, fmt.Errorf("%w: %w", ErrInvalidRoot, err)
	}
	sum := sha256.Sum256(document)
	r := Root{
		Date: content.Date, TakenAt: content.TakenAt, Tenants: content.Tenants, Events: content.Events,
		KeyID: certificate.KeyID(signed.PublicKey), Trusted: signed.Trusted, content: content, sha256: hex.EncodeToString(sum[:]),
	}
	if content.Previous != nil {
		r.Previous = content.Previous.Date
	}
	return r, nil
}

// Follows checks that r is the next root behind before: none is missing between them, and neither was replaced. The error
// wraps ErrInvalidRoot.
func (r Root) Follows(before Root) error {
	if err := r.content.Follows(before.Date, before.sha256); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidRoot, err)
	}
	return nil
}

// Heads reads the root's leaves and calls each with every head, in the order of the tenants. They are genuine only when
// it returns nil. The error wraps ErrInvalidRoot, or is each's.
func (r Root) Heads(leaves io.Reader, each func(Head) error) error {
	var mine error
	summary, err := roots.Read(leaves, func(h Head) error { mine = each(h); return mine })
	switch {
	case mine != nil:
		return mine
	case err != nil:
		return fmt.Errorf("%w: %s: %w", ErrInvalidRoot, r.Date, err)
	case summary != r.content.Summary:
		return fmt.Errorf("%w: %s: its leaves are not those that were signed", ErrInvalidRoot, r.Date)
	}
	return nil
}
