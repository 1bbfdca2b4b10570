// Package certificate signs documents with Ed25519 and checks them.
//
// A signed document is a JSON object with three members besides its content: "key_id", "public_key" and "signature".
// The signature covers the canonical form (RFC 8785) of the object without "signature", so that it survives other
// white space and another order of the members, and nothing else. Keys and signatures are in standard base64; a key's
// id is the first 16 bytes of its SHA-256, in hex.
package certificate

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gowebpki/jcs"
)

// Signer signs with one key. It is safe for concurrent use.
type Signer struct {
	key ed25519.PrivateKey
}

// ParseSigner takes an Ed25519 seed: 32 bytes in base64.
func ParseSigner(text string) (Signer, error) {
	seed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(seed) != ed25519.SeedSize {
		return Signer{}, errors.New("it is not 32 bytes in base64: make one with `openssl rand -base64 32`, and keep it")
	}
	return Signer{key: ed25519.NewKeyFromSeed(seed)}, nil
}

// PublicKey is what its signatures are checked with.
func (s Signer) PublicKey() ed25519.PublicKey { return s.key.Public().(ed25519.PublicKey) }

// KeyID names a key.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:16])
}

// signature is what a signed document has besides its content.
type signature struct {
	KeyID     string `json:"key_id"`
	PublicKey []byte `json:"public_key"`
	Signature []byte `json:"signature,omitempty"`
}

const signatureMember = "signature"

// Sign returns content, which must encode as a JSON object, as a signed document. Equal content gives equal bytes.
func (s Signer) Sign(content any) ([]byte, error) {
	signed := signature{KeyID: KeyID(s.PublicKey()), PublicKey: s.PublicKey()}
	unsigned, err := merge(content, signed)
	if err != nil {
		return nil, err
	}
	canonical, err := jcs.Transform(unsigned)
	if err != nil {
		return nil, fmt.Errorf("bring the document to its canonical form: %w", err)
	}
	signed.Signature = ed25519.Sign(s.key, canonical)
	document, err := merge(content, signed)
	if err != nil {
		return nil, err
	}
	var indented bytes.Buffer
	err = json.Indent(&indented, append(document, '\n'), "", "  ")
	return indented.Bytes(), err
}

// merge puts the members of two objects into one, those of the first in front.
func merge(a, b any) ([]byte, error) {
	first, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	second, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	return slices.Concat(first[:len(first)-1], []byte{','}, second[1:]), nil
}

// Signed is a document whose signature is right.
type Signed struct {
	// Content is the canonical form of what was signed. Read this, and never the document: of two readings of one text
	// (a member that is there twice, a number of too many digits) it is the signed one.
	Content   []byte
	PublicKey ed25519.PublicKey
	// Trusted: the key is one of those that the caller named. Otherwise anybody may have signed.
	Trusted bool
}

// ErrForged is in the error of every document that is not what was signed, or not signed by a trusted key.
var ErrForged = errors.New("it was changed, or never signed")

// Open checks a document's signature with the key that it carries. When keys are given, that key must be one of them.
func Open(document []byte, trusted ...ed25519.PublicKey) (Signed, error) {
	// Members that are there twice are refused here.
	canonical, err := jcs.Transform(document)
	if err != nil {
		return Signed{}, fmt.Errorf("%w: %w", ErrForged, err)
	}
	var members map[string]json.RawMessage
	var by signature
	if err := errors.Join(json.Unmarshal(canonical, &members), json.Unmarshal(canonical, &by)); err != nil {
		return Signed{}, fmt.Errorf("%w: %w", ErrForged, err)
	}
	delete(members, signatureMember)
	content, err := json.Marshal(members)
	if err != nil {
		return Signed{}, fmt.Errorf("%w: %w", ErrForged, err)
	}
	if content, err = jcs.Transform(content); err != nil {
		return Signed{}, fmt.Errorf("%w: %w", ErrForged, err)
	}
	signed := Signed{Content: content, PublicKey: by.PublicKey}
	switch {
	case len(by.PublicKey) != ed25519.PublicKeySize || by.KeyID != KeyID(by.PublicKey):
		return Signed{}, fmt.Errorf("%w: its public key is not the one of its key id", ErrForged)
	case !ed25519.Verify(by.PublicKey, content, by.Signature):
		return Signed{}, fmt.Errorf("%w: the signature does not fit the content", ErrForged)
	}
	signed.Trusted = slices.ContainsFunc(trusted, func(key ed25519.PublicKey) bool { return key.Equal(signed.PublicKey) })
	if len(trusted) > 0 && !signed.Trusted {
		return Signed{}, fmt.Errorf("%w: it is signed by key %s, which is not trusted", ErrForged, by.KeyID)
	}
	return signed, nil
}
