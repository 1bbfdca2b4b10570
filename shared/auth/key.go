package auth

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// localName is issuer and audience of the tokens that are signed with a local key.
const localName = "tenure"

// shortestSecret is how many bytes a shared secret must have: as many as the hash.
const shortestSecret = 32

// clockSkew is how far the clocks of who signs and who checks may be apart.
const clockSkew = 30 * time.Second

// Key is a local signing key. It checks tokens, and mints them unless it is a public key.
type Key struct {
	method jwt.SigningMethod
	sign   any // nil for a public key
	verify any
}

// ParseKey reads a key: an Ed25519 private or public key as PEM, or else a secret of 32 bytes or more (HS256).
func ParseKey(text string) (Key, error) {
	text = strings.TrimSpace(text)
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		if len(text) < shortestSecret {
			return Key{}, fmt.Errorf("TENURE_AUTH_KEY is neither PEM nor a secret of %d bytes or more: try `openssl rand -base64 32`", shortestSecret)
		}
		return Key{method: jwt.SigningMethodHS256, sign: []byte(text), verify: []byte(text)}, nil
	}
	if private, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		if k, ok := private.(ed25519.PrivateKey); ok {
			return Key{method: jwt.SigningMethodEdDSA, sign: k, verify: k.Public()}, nil
		}
	}
	var public crypto.PublicKey
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if k, ok := public.(ed25519.PublicKey); err == nil && ok {
		return Key{method: jwt.SigningMethodEdDSA, verify: k}, nil
	}
	return Key{}, errors.New("TENURE_AUTH_KEY is PEM, but no Ed25519 key: try `openssl genpkey -algorithm ed25519`")
}

// localClaims are those of a token that a local key signs.
type localClaims struct {
	jwt.RegisteredClaims
	claims
}

// Mint signs a token for p that is good for validFor from now.
func (k Key) Mint(p Principal, validFor time.Duration) (string, error) {
	if k.sign == nil {
		return "", errors.New("mint a token: the key is a public key, which can only check")
	}
	now := time.Now()
	c := localClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: localName, Audience: jwt.ClaimStrings{localName}, Subject: p.Subject,
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(validFor)),
		},
		claims: claims{Tenant: p.Tenant},
	}
	if p.IsOperator() {
		c.Roles = words{OperatorRole}
	}
	return jwt.NewWithClaims(k.method, c).SignedString(k.sign)
}

// claims checks a token.
func (k Key) claims(_ context.Context, token string) (claims, error) {
	var c localClaims
	_, err := jwt.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return k.verify, nil },
		// Naming the method keeps a token from choosing a weaker one, or none.
		jwt.WithValidMethods([]string{k.method.Alg()}),
		jwt.WithIssuer(localName), jwt.WithAudience(localName), jwt.WithExpirationRequired(), jwt.WithLeeway(clockSkew))
	c.claims.Subject = c.RegisteredClaims.Subject
	return c.claims, err
}
