package runner

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"tenure/shared/auth"
	"tenure/shared/events"
	"tenure/shared/problem"
	"tenure/shared/telemetry"
)

// NewAPI describes the routes at /openapi.json. There is no page that would load scripts from elsewhere.
func NewAPI(mux *http.ServeMux, verifier *auth.Verifier) huma.API {
	problem.Install()
	cfg := huma.DefaultConfig("Tenure", "1")
	cfg.DocsPath, cfg.SchemasPath = "", ""
	cfg.CreateHooks = nil                         // no "$schema" member in answers
	cfg.AllowAdditionalPropertiesByDefault = true // a newer client may say more than we know, as on the bus
	cfg.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	cfg.Info.Description = "The life of a SaaS tenant: commands, state, timeline, exports, deletion and its proof."
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"bearer": {Type: "http", Scheme: "bearer"}}
	cfg.Security = []map[string][]string{{"bearer": {}}}
	api := humago.New(mux, cfg)
	api.UseMiddleware(auth.Middleware(api, verifier))
	return api
}

// schemaName puts the part of the system in front of a type's name: in `tenure dev` the services share one description, and
// two of them may well have a Violation.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	path := strings.TrimPrefix(strings.TrimPrefix(t.PkgPath(), "tenure/"), "services/")
	part, _, _ := strings.Cut(strings.TrimPrefix(path, "shared/"), "/")
	if part == "" {
		return name
	}
	return strings.ToUpper(part[:1]) + part[1:] + name
}

// addOperational adds what orchestrators ask: alive, able to work, figures.
func addOperational(mux *http.ServeMux, services map[string]Service, tel *telemetry.Telemetry) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		for name, s := range services {
			if err := s.Ready(ctx); err != nil {
				problem.Write(w, r, problem.New(http.StatusServiceUnavailable, "not_ready", name+": "+err.Error()))
				return
			}
		}
		_, _ = w.Write([]byte("ready\n"))
	})
	mux.Handle("GET /metrics", tel.MetricsHandler())
}

// traced goes on with the trace of whoever calls, so that it stands in the events that follow.
func traced(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(telemetry.WithTraceParent(r.Context(), r.Header.Get("traceparent"))))
	})
}

// refuseNUL turns away paths and queries with a NUL in them: no id and no name has one, and PostgreSQL takes none.
func refuseNUL(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "\x00") || strings.Contains(r.URL.RawQuery, "%00") || strings.Contains(r.URL.RawQuery, "\x00") {
			problem.Write(w, r, problem.New(http.StatusUnprocessableEntity, problem.CodeValidation, "the address holds a NUL character"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// limitBody answers 413 above events.MaxBody. Only what the dev sample stores may be larger; it says so itself.
func limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > events.MaxBody && !isLargeBody(r) {
			problem.Write(w, r, problem.New(http.StatusRequestEntityTooLarge, "too_large",
				fmt.Sprintf("a body may have %d bytes at most", events.MaxBody)))
			return
		}
		if !isLargeBody(r) {
			r.Body = http.MaxBytesReader(w, r.Body, events.MaxBody)
		}
		next.ServeHTTP(w, r)
	})
}

// isLargeBody: Stripe's events may pass 64 KiB (their handler has a limit of its own).
func isLargeBody(r *http.Request) bool { return r.URL.Path == "/webhooks/stripe" }

func listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; choose another address with TENURE_HTTP_ADDR (or --http)", addr, err)
	}
	return l, nil
}
