package auth

import (
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"tenure/shared/problem"
)

// challenge goes with every 401, as RFC 9110 wants.
const challenge = `Bearer realm="tenure"`

// Middleware lets the API's operations see who calls, and turns away who does not say so. An operation that is
// described with an empty Security is open to all.
func Middleware(api huma.API, v *Verifier) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		if security := ctx.Operation().Security; security != nil && len(security) == 0 {
			next(ctx)
			return
		}
		p, err := v.Authenticate(ctx.Context(), bearer(ctx.Header("Authorization")))
		if err != nil {
			if wantsChallenge(err) {
				ctx.SetHeader("WWW-Authenticate", challenge)
			}
			// problem.Install has huma answer with the problem itself.
			_ = huma.WriteErr(api, ctx, http.StatusInternalServerError, "authenticate", err)
			return
		}
		next(huma.WithContext(ctx, NewContext(ctx.Context(), p)))
	}
}

// Require is Middleware for plain handlers.
func (v *Verifier) Require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := v.Authenticate(r.Context(), bearer(r.Header.Get("Authorization")))
		if err != nil {
			if wantsChallenge(err) {
				w.Header().Set("WWW-Authenticate", challenge)
			}
			problem.Write(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(NewContext(r.Context(), p)))
	})
}

func wantsChallenge(err error) bool {
	var refusal *problem.Error
	return errors.As(err, &refusal) && refusal.Status == http.StatusUnauthorized
}

// bearer is the token in an Authorization header; empty when there is none.
func bearer(header string) string {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
