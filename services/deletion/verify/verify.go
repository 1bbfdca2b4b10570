// Package verify checks a deletion certificate offline.
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

// Report tells what a valid certificate says.
type Report struct {
	TenantID    string `json:"tenant_id"`
	Generation  int64  `json:"generation"`
	OperationID string `json:"operation_id"`

	RequestedAt  time.Time `json:"requested_at"`
	ScheduledFor time.Time `json:"scheduled_for"`
	FinishedAt   time.Time `json:"finished_at"`

	// Stores were all found empty; Erased is what they held before, as far as it was counted.
	Stores int   `json:"stores"`
	Erased int64 `json:"erased"`

	// KeyID is the key that signed. Trusted: it is one that the caller named; otherwise compare it with Tenure's.
	KeyID   string `json:"key_id"`
	Trusted bool   `json:"trusted"`
}

// Certificate checks that the document is what was signed, by one of the trusted keys if any are given, and that
// what it says is a complete deletion, not before its time. The error wraps ErrInvalid.
func Certificate(document []byte, trusted ...ed25519.PublicKey) (Report, error) {
	signed, err := certificate.Open(document, trusted...)
	if err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var c purge.Certificate
	if err := json.Unmarshal(signed.Content, &c); err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := c.Check(); err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	r := Report{
		TenantID: c.Tenant, Generation: c.Generation, OperationID: c.OperationID,
		RequestedAt: c.RequestedAt, ScheduledFor: c.ScheduledFor, FinishedAt: c.FinishedAt, Stores: len(c.Stores),
		KeyID: certificate.KeyID(signed.PublicKey), Trusted: signed.Trusted,
	}
	for _, s := range c.Stores {
		if s.Before != nil {
			r.Erased += *s.Before
		}
	}
	return r, nil
}

// ParseKey reads a public key as GET /v1/keys shows it.
func ParseKey(text string) (ed25519.PublicKey, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, errors.New("a public key is 32 bytes in base64, as GET /v1/keys shows it")
	}
	return key, nil
}
