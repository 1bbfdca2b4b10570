package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// keyBytes is the length of every key: AES-256.
const keyBytes = 32

// sealer is AES-256-GCM with a random nonce, which it puts before the ciphertext. 2^32 messages are safe with one
// key; the master key seals one per sign-up.
type sealer struct {
	aead cipher.AEAD
}

// newSealer takes a key of keyBytes bytes.
func newSealer(key []byte) sealer {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the length is wrong, which parseKey and newKey rule out
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // the block size is not AES's
	}
	return sealer{aead}
}

func (s sealer) seal(plain, boundTo []byte) []byte { return s.aead.Seal(nil, nil, plain, boundTo) }

func (s sealer) open(sealed, boundTo []byte) ([]byte, error) {
	return s.aead.Open(nil, nil, sealed, boundTo)
}

// boundTo is what a ciphertext belongs to. Moved to another row it does not open.
func boundTo(what, tenant string, generation int64) []byte {
	return fmt.Appendf(nil, "%s/%s/%d", what, tenant, generation)
}

func newKey() []byte {
	key := make([]byte, keyBytes)
	_, _ = rand.Read(key) // never fails, says crypto/rand
	return key
}

// parseKey reads 32 bytes in hex or in any form of base64.
func parseKey(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString,
		base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if key, err := decode(text); err == nil && len(key) == keyBytes {
			return key, nil
		}
	}
	return nil, errors.New("TENURE_VAULT_KEY is not 32 bytes in base64 or hex: make one with `openssl rand -base64 32`, and keep it: without it the contacts are lost")
}
