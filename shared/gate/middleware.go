package gate

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
)

// Middleware lets those requests through that their tenant may make, and answers the others. Requests that get through
// count as running until their handler returns; see Drain and RequestOf.
//
// tenantOf finds the tenant that a request is for; "" is nobody's, and refused with 404. It must not believe what the
// caller merely claims: take it from what your sign-in has verified. capabilityOf may be nil: CapabilityOf.
func Middleware(g *Gate, tenantOf func(*http.Request) string, capabilityOf func(*http.Request) Capability) func(http.Handler) http.Handler {
	if capabilityOf == nil {
		capabilityOf = CapabilityOf
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			tenant := tenantOf(r)
			if tenant == "" {
				unknownTenant.ServeHTTP(w, r)
				return
			}
			request := g.Begin(tenant)
			defer request.End()
			if verdict := g.CheckFresh(r.Context(), tenant, capabilityOf(r)); !verdict.Allowed {
				verdict.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, request)))
		})
	}
}

// CapabilityOf goes by the method: GET, HEAD and OPTIONS query, all others ingest.
func CapabilityOf(r *http.Request) Capability {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return Query
	}
	return Ingest
}

// ServeHTTP answers a request with the verdict, as RFC 9457 problem details: the same body that Tenure's API gives.
func (v Verdict) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	body, _ := json.Marshal(struct { // strings and a number: it cannot fail
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail,omitempty"`
		Code   string `json:"code"`
	}{http.StatusText(v.Status), v.Status, v.Reason, v.Code})
	w.Header().Set("Content-Type", "application/problem+json")
	if seconds := v.RetryAfterSeconds(); seconds != "" {
		w.Header().Set("Retry-After", seconds)
	}
	w.WriteHeader(v.Status)
	_, _ = w.Write(append(body, '\n')) // the caller may be gone
}

// RetryAfterSeconds is RetryAfter as the header of that name has it, rounded up; "" when waiting alone does not help.
func (v Verdict) RetryAfterSeconds() string {
	if v.RetryAfter <= 0 {
		return ""
	}
	return strconv.Itoa(int(math.Ceil(v.RetryAfter.Seconds())))
}
