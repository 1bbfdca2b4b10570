package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// errIssuerAway says that a token may be good or bad: who could tell cannot be reached.
var errIssuerAway = errors.New("the issuer of tokens is away")

const (
	issuerTimeout = 5 * time.Second
	// issuerPause is how long no new attempt is made after the issuer did not answer.
	issuerPause = time.Second
)

// issuer checks the tokens of an OpenID Connect issuer with the keys that it publishes.
type issuer struct {
	url, audience string

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier // nil until the issuer has been asked
	failed   time.Time
}

// claims checks a token.
func (i *issuer) claims(ctx context.Context, token string) (claims, error) {
	verifier, err := i.discovered(ctx)
	if err != nil {
		return claims{}, err
	}
	verified, err := verifier.Verify(ctx, token)
	if err != nil {
		// The library does not wrap the error of its key fetcher.
		if strings.Contains(err.Error(), "fetching keys") {
			slog.WarnContext(ctx, "the issuer's keys cannot be fetched", "issuer", i.url, "error", err)
			return claims{}, errIssuerAway
		}
		return claims{}, err
	}
	var c claims
	if err := verified.Claims(&c); err != nil {
		return claims{}, fmt.Errorf("read its claims: %w", err)
	}
	c.Subject = verified.Subject
	return c, nil
}

// discovered asks the issuer for its description once; while that fails, once a second, for all callers together.
func (i *issuer) discovered(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.verifier != nil {
		return i.verifier, nil
	}
	if time.Since(i.failed) < issuerPause {
		return nil, errIssuerAway
	}
	// What is found serves all requests, so that the end of this one must not cut it short. The library keeps the
	// client for the keys.
	client := &http.Client{Timeout: issuerTimeout}
	provider, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), client), i.url)
	if err != nil {
		i.failed = time.Now()
		slog.WarnContext(ctx, "the issuer of tokens does not answer", "issuer", i.url, "error", err)
		return nil, errIssuerAway
	}
	i.verifier = provider.Verifier(&oidc.Config{ClientID: i.audience})
	return i.verifier, nil
}
