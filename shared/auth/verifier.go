package auth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"tenure/shared/events"
	"tenure/shared/problem"
)

// Settings say whose tokens are taken. One of Issuer and Key must be set outside development.
type Settings struct {
	// Env is "dev" in development: the tokens "dev" (an operator), "dev+<name>" (the operator of that name) and "dev:<tenant>"
	// are taken.
	Env string `env:"TENURE_ENV" envDefault:"production"`
	// Issuer is the URL of an OpenID Connect issuer; Audience is what its tokens for Tenure name as theirs.
	Issuer   string `env:"TENURE_OIDC_ISSUER"`
	Audience string `env:"TENURE_OIDC_AUDIENCE"`
	// Key is a local key: see ParseKey.
	Key string `env:"TENURE_AUTH_KEY"`
}

// Verifier tells good tokens from bad. It is safe for concurrent use.
type Verifier struct {
	dev     bool
	claimed func(ctx context.Context, token string) (claims, error) // nil: no issuer and no key
}

// New makes a verifier. It asks nothing of the issuer yet: that may start later than we do.
func New(s Settings) (*Verifier, error) {
	v := &Verifier{dev: s.Env == "dev"}
	switch {
	case s.Issuer != "" && s.Key != "":
		return nil, errors.New("TENURE_OIDC_ISSUER and TENURE_AUTH_KEY are both set: keep one of them")
	case s.Issuer != "" && s.Audience == "":
		return nil, errors.New("TENURE_OIDC_AUDIENCE is not set: without it tokens made for other programs would be taken")
	case s.Issuer != "":
		v.claimed = (&issuer{url: s.Issuer, audience: s.Audience}).claims
	case s.Key != "":
		key, err := ParseKey(s.Key)
		if err != nil {
			return nil, err
		}
		v.claimed = key.claims
	case !v.dev:
		return nil, errors.New("nobody could log in: set TENURE_OIDC_ISSUER and TENURE_OIDC_AUDIENCE, or TENURE_AUTH_KEY")
	}
	return v, nil
}

// Authenticate tells whose bearer token this is. Its errors are problems for the caller: unauthenticated, forbidden
// for a good token that claims nothing of ours, unavailable when the issuer cannot be asked.
func (v *Verifier) Authenticate(ctx context.Context, bearer string) (Principal, error) {
	if bearer == "" {
		return Principal{}, unauthenticated("a bearer token is needed")
	}
	if v.dev {
		if p, ok := devPrincipal(bearer); ok {
			return p, nil
		}
	}
	if v.claimed == nil {
		return Principal{}, unauthenticated("the token is not valid: in development use dev, dev+<name> or dev:<tenant>")
	}
	c, err := v.claimed(ctx, bearer)
	if errors.Is(err, errIssuerAway) {
		return Principal{}, problem.New(http.StatusServiceUnavailable, problem.CodeUnavailable, "the token cannot be checked now; try again")
	} else if err != nil {
		return Principal{}, unauthenticated("the token is not valid: " + err.Error())
	}
	return c.principal()
}

// devPrincipal knows "dev", "dev+<name>" and "dev:<tenant>". Names are written like ids.
func devPrincipal(token string) (Principal, bool) {
	if token == "dev" {
		return Principal{Kind: Operator, Subject: "dev"}, true
	}
	if name, ok := strings.CutPrefix(token, "dev+"); ok {
		return Principal{Kind: Operator, Subject: name}, events.ValidTenantID(name)
	}
	tenant, ok := strings.CutPrefix(token, "dev:")
	if !ok || !events.ValidTenantID(tenant) {
		return Principal{}, false
	}
	return Principal{Kind: Tenant, Tenant: tenant, Subject: tenant}, true
}

func unauthenticated(detail string) error {
	return problem.New(http.StatusUnauthorized, problem.CodeUnauthenticated, detail)
}

// claims are what a token says that we listen to.
type claims struct {
	Subject string `json:"-"` // "sub", which the libraries read
	Tenant  string `json:"tenant,omitempty"`
	Roles   words  `json:"roles,omitempty"`
	Scope   words  `json:"scope,omitempty"`
	Scp     words  `json:"scp,omitempty"`
}

// principal is who the claims make of the caller. The tenant claim comes first: where tenants manage their own users,
// no role that they hand out may make an operator.
func (c claims) principal() (Principal, error) {
	switch {
	case c.Subject == "":
		return Principal{}, unauthenticated("the token is not valid: it has no subject")
	case c.Tenant != "" && !events.ValidTenantID(c.Tenant):
		return Principal{}, unauthenticated("the token is not valid: its tenant is not the id of one")
	case c.Tenant != "":
		return Principal{Kind: Tenant, Tenant: c.Tenant, Subject: c.Subject}, nil
	case slices.Contains(slices.Concat(c.Roles, c.Scope, c.Scp), OperatorRole):
		return Principal{Kind: Operator, Subject: c.Subject}, nil
	}
	return Principal{}, problem.New(http.StatusForbidden, problem.CodeForbidden,
		"the token has neither a tenant claim nor the role "+OperatorRole)
}

// words is a claim that issuers write as a list or as one string with spaces.
type words []string

// UnmarshalJSON reads both forms. Any other form is no word of ours.
func (w *words) UnmarshalJSON(data []byte) error {
	var list []string
	if json.Unmarshal(data, &list) == nil {
		*w = list
		return nil
	}
	var line string
	_ = json.Unmarshal(data, &line)
	*w = strings.Fields(line)
	return nil
}
