package gateway_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	authz "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	luafilter "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	manager "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
	lua "github.com/yuin/gopher-lua"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// envoyConfig reads deploy/gateways/envoy.yaml as Envoy does: into the messages of its API, in which an unknown field is an
// error, and then by the rules that stand in them.
func envoyConfig(t *testing.T) *bootstrap.Bootstrap {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(configs, "envoy.yaml"))
	require.NoError(t, err)
	asJSON, err := yaml.YAMLToJSON(content)
	require.NoError(t, err)
	config := &bootstrap.Bootstrap{}
	require.NoError(t, protojson.Unmarshal(asJSON, config))
	require.NoError(t, config.ValidateAll())
	return config
}

// httpManager is the listener's, and its filters by their names.
func httpManager(t *testing.T, l *listener.Listener) (*manager.HttpConnectionManager, map[string]proto.Message) {
	t.Helper()
	m := &manager.HttpConnectionManager{}
	require.NoError(t, l.FilterChains[0].Filters[0].GetTypedConfig().UnmarshalTo(m))
	require.NoError(t, m.ValidateAll())
	filters := map[string]proto.Message{}
	for _, f := range m.HttpFilters {
		config, err := f.GetTypedConfig().UnmarshalNew()
		require.NoError(t, err)
		if rules, has := config.(interface{ ValidateAll() error }); has {
			require.NoError(t, rules.ValidateAll(), f.Name)
		}
		filters[f.Name] = config
	}
	require.IsType(t, &router.Router{}, filters["envoy.filters.http.router"])
	return m, filters
}

func TestEnvoyKnowsEveryField(t *testing.T) {
	config := envoyConfig(t)
	clusters := map[string]bool{}
	for _, c := range config.StaticResources.Clusters {
		clusters[c.Name] = true
	}
	for _, l := range config.StaticResources.Listeners {
		m, filters := httpManager(t, l)
		for _, host := range m.GetRouteConfig().VirtualHosts {
			for _, r := range host.Routes {
				require.True(t, clusters[r.GetRoute().GetCluster()], "%s leads nowhere", l.Name)
			}
		}
		ask, has := filters["envoy.filters.http.ext_authz"].(*authz.ExtAuthz)
		require.Equal(t, l.Name == "public", has, "%s", l.Name)
		if has {
			require.False(t, ask.FailureModeAllow)
			require.EqualValues(t, 503, ask.StatusOnError.Code)
			require.True(t, clusters[ask.GetHttpService().ServerUri.GetCluster()])
			names := slices.Collect(func(yield func(string) bool) {
				for _, f := range m.HttpFilters {
					if !yield(f.Name) {
						return
					}
				}
			})
			require.Equal(t, []string{"envoy.filters.http.lua", "envoy.filters.http.ext_authz", "envoy.filters.http.router"}, names,
				"the tenant is found, then asked about, then served")
		}
	}
}

// request is what a Lua script sees of Envoy: https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/lua_filter
type request struct {
	headers   map[string]string
	responded string
}

// run calls envoy_on_request of the listener's script.
func (r *request) run(t *testing.T, l *listener.Listener) {
	t.Helper()
	_, filters := httpManager(t, l)
	script := filters["envoy.filters.http.lua"].(*luafilter.Lua).DefaultSourceCode.GetInlineString()
	state := lua.NewState()
	defer state.Close()
	require.NoError(t, state.DoString(script))
	headers, handle := state.NewTable(), state.NewTable()
	state.SetFuncs(headers, map[string]lua.LGFunction{
		"get": func(s *lua.LState) int {
			if value, has := r.headers[s.CheckString(2)]; has {
				s.Push(lua.LString(value))
			} else {
				s.Push(lua.LNil)
			}
			return 1
		},
		"replace": func(s *lua.LState) int {
			r.headers[s.CheckString(2)] = s.CheckString(3)
			return 0
		},
	})
	state.SetFuncs(handle, map[string]lua.LGFunction{
		"headers": func(s *lua.LState) int { s.Push(headers); return 1 },
		"respond": func(s *lua.LState) int {
			r.responded = s.CheckTable(2).RawGetString(":status").String()
			return 0
		},
	})
	require.NoError(t, state.CallByParam(lua.P{Fn: state.GetGlobal("envoy_on_request"), Protect: true}, handle))
}

func TestEnvoysScripts(t *testing.T) {
	listeners := envoyConfig(t).StaticResources.Listeners
	public, access := listeners[0], listeners[1]
	for _, test := range []struct{ method, path, asks string }{
		{"GET", "/t/acme/documents?q=1", "/v1/access/acme?capability=query"},
		{"HEAD", "/t/acme", "/v1/access/acme?capability=query"},
		{"GET", "/t/acme?q=/t/beta/", "/v1/access/acme?capability=query"},
		{"POST", "/t/A_c-9/documents", "/v1/access/A_c-9?capability=ingest"},
		{"DELETE", "/t/acme/", "/v1/access/acme?capability=ingest"},
		{"GET", "/t/", ""},
		{"GET", "/t//acme", ""},
		{"GET", "/t/a%2fb/documents", ""},
		{"GET", "/t/" + strings.Repeat("a", 65) + "/documents", ""},
		{"GET", "/x/t/acme/", ""},
	} {
		r := &request{headers: map[string]string{":method": test.method, ":path": test.path, "x-tenant": "somebody-else"}}
		r.run(t, public)
		if test.asks == "" {
			require.Equal(t, "404", r.responded, test.path)
			continue
		}
		require.Empty(t, r.responded, test.path)
		r.run(t, access)
		require.Equal(t, "GET "+test.asks, r.headers[":method"]+" "+r.headers[":path"], test.path)
	}
}
