package deployment_test

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// route is a handle block of deploy/proxy/Caddyfile: what goes where. An empty field matches everything.
type route struct {
	method  string
	paths   []string
	service string // "": the proxy answers itself
}

func (r route) takes(method, requested string) bool {
	return (r.method == "" || r.method == method) && (r.paths == nil || slices.ContainsFunc(r.paths, func(pattern string) bool {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok && !strings.Contains(prefix, "*") {
			return strings.HasPrefix(requested, prefix)
		}
		matched, _ := path.Match(pattern, requested)
		return matched
	}))
}

// parseRoutes reads as much of a Caddyfile as ours has: matchers and handle blocks, of which the first that matches takes a
// request.
func parseRoutes(caddyfile string) []route {
	var routes []route
	matchers := map[string]*route{}
	matcher, handle := "", false
	for line := range strings.Lines(caddyfile) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "#":
		case strings.HasPrefix(words[0], "@"):
			matchers[words[0]] = &route{}
			if words[1] == "{" {
				matcher = words[0]
			} else {
				matchers[words[0]].paths = words[2:]
			}
		case matcher != "" && words[0] == "method":
			matchers[matcher].method = words[1]
		case matcher != "" && words[0] == "path":
			matchers[matcher].paths = words[1:]
		case words[0] == "handle":
			next := route{}
			if m := matchers[words[1]]; m != nil {
				next = *m
			} else if words[1] != "{" {
				next.paths = words[1:2]
			}
			routes, handle = append(routes, next), true
		case handle && words[0] == "reverse_proxy":
			routes[len(routes)-1].service, _, _ = strings.Cut(words[1], ":")
		case words[0] == "}":
			matcher, handle = "", false
		}
	}
	return routes
}

// serviceFor is where the proxy sends a request.
func serviceFor(routes []route, method, path string) string {
	for _, r := range routes {
		if r.takes(method, path) {
			return r.service
		}
	}
	return ""
}

// proxy does what the Caddyfile says, with the services at these addresses.
func proxy(routes []route, addresses map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		address := addresses[serviceFor(routes, r.Method, r.URL.Path)]
		if address == "" {
			http.NotFound(w, r)
			return
		}
		httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address}).ServeHTTP(w, r)
	})
}

// TestTheProxyHidesTheInside needs no servers: the rest of the routes is tested on the running services.
func TestTheProxyHidesTheInside(t *testing.T) {
	routes := parseRoutes(mounted(t, project(t, nil), "proxy")["/etc/caddy/Caddyfile"])
	for path, want := range map[string]string{
		"/metrics": "", "/readyz": "", "/healthz": "", "/openapi.json": "lifecycle", "/v1/tenants": "lifecycle", "/webhooks/stripe": "billing", "/v1/billing/drift": "billing",
		"/v1/tenants/acme/exports": "export", "/v1/tenants/acme/webhooks/we_1/deliveries": "notifier", "/l/back/token": "notifier",
	} {
		require.Equal(t, want, serviceFor(routes, http.MethodGet, path), path)
	}
	require.Equal(t, "lifecycle", serviceFor(routes, http.MethodPost, "/v1/exports/e1/cancel"))
	for service := range project(t, nil).Services {
		if slices.Contains(tenure, service) {
			require.True(t, slices.ContainsFunc(routes, func(r route) bool { return r.service == service }), "nothing is sent to %s", service)
		}
	}
}
