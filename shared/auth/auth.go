// Package auth tells who calls the HTTP API: an operator, who may do all, or a tenant, who reaches itself alone.
//
// Tokens come from an OpenID Connect issuer, or are signed with a local key; in development "dev", "dev+<name>" (another
// operator, where two are needed) and "dev:<tenant>" are tokens too. Whatever signed it, a token speaks by its claims:
//
//	sub     who it is: an opaque id, never an e-mail address, for it stands in the audit log
//	tenant  makes it this tenant's token, whatever else it claims
//	roles, scope or scp   makes it an operator's when OperatorRole is among them (a list, or words in a string)
package auth

import "context"

// OperatorRole is the role, or scope, that makes a token an operator's.
const OperatorRole = "tenure:operator"

// Kind is what a caller is.
type Kind string

// The kinds of callers.
const (
	Operator Kind = "operator"
	Tenant   Kind = "tenant"
)

// Principal is a caller. The zero value is nobody, and may do nothing.
type Principal struct {
	Kind Kind
	// Tenant is the id of a tenant's own token; empty for operators.
	Tenant string
	// Subject is who exactly.
	Subject string
}

// IsOperator reports whether the caller may do all.
func (p Principal) IsOperator() bool { return p.Kind == Operator }

// MayReach reports whether the caller may see this tenant. To all others the tenant does not exist.
func (p Principal) MayReach(tenant string) bool {
	return p.IsOperator() || p.Kind == Tenant && tenant != "" && p.Tenant == tenant
}

// Actor is the caller in the audit log: "operator:<subject>" or "tenant:<id>"; empty for nobody.
func (p Principal) Actor() string {
	switch p.Kind {
	case Operator:
		return "operator:" + p.Subject
	case Tenant:
		return "tenant:" + p.Tenant
	}
	return ""
}

type contextKey struct{}

// NewContext carries the caller along with a request.
func NewContext(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// FromContext is the caller of the request; nobody when it was not authenticated.
func FromContext(ctx context.Context) Principal {
	p, _ := ctx.Value(contextKey{}).(Principal)
	return p
}
