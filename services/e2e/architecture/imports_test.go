// Package architecture_test holds the rules about the tree: who imports whom, and what no file may have.
package architecture_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
)

// root is the top of the tree, as seen from here.
const root = "../../.."

// pkg is a package as `go list -deps -json` tells of it.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string // of its production files
	Deps       []string
}

// packages lists all packages of all modules and everything they are made of.
func packages(t *testing.T) map[string]pkg {
	t.Helper()
	all, err := listOnce()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return all
}

var listOnce = sync.OnceValues(list)

func list() (map[string]pkg, error) {
	cmd := exec.CommandContext(context.Background(), "go", "list", "-deps", "-json=ImportPath,Standard,Imports,Deps",
		"./schemas/...", "./shared/...", "./services/...", "./services/devstack/...", "./services/cmd/tenure/...")
	cmd.Dir = root
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, &stderr)
	}
	all := map[string]pkg{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all[p.ImportPath] = p
	}
}

// ours are the packages of this tree.
func ours(name string) bool { return strings.HasPrefix(name, "tenure/") }

// within reports whether a package is root or lies below it.
func within(name, root string) bool { return name == root || strings.HasPrefix(name, root+"/") }

// matches reports whether a package is one of those that patterns name; see path.Match, and /... as in the go command.
func matches(name string, patterns ...string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if top, ok := strings.CutSuffix(pattern, "/..."); ok {
			return within(name, top)
		}
		matched, _ := path.Match(pattern, name)
		return matched
	})
}

// serviceOf is the service that a package is a part of, or "".
func serviceOf(name string) string {
	rest, ok := strings.CutPrefix(name, "tenure/services/")
	first, _, _ := strings.Cut(rest, "/")
	if !ok || slices.Contains([]string{"cmd", "connectors", "devstack", "e2e"}, first) {
		return ""
	}
	return first
}

// TestLayers holds that imports point one way: schemas <- events <- eventlog, inbox, bus <- a service's internals <-
// the service <- cmd.
func TestLayers(t *testing.T) {
	// Each may import, of this tree, what is named, and itself. What is not listed may import all of shared.
	allowed := []struct{ pkg, of string }{
		{"tenure/schemas", ""},
		{"tenure/shared/events", "tenure/schemas"},
		{"tenure/shared/fault", ""},
		{"tenure/shared/plans", ""},
		{"tenure/shared/pg", ""},
		{"tenure/shared/problem", ""},
		{"tenure/shared/egress", ""},
		{"tenure/shared/query", ""},
		{"tenure/shared/yamlfile", ""},
		{"tenure/shared/plans/planfile", "tenure/shared/plans tenure/shared/yamlfile"},
		{"tenure/shared/retention", ""},
		{"tenure/shared/retention/policyfile", "tenure/shared/retention tenure/shared/yamlfile"},
		{"tenure/shared/schema", "tenure/schemas tenure/shared/events"},
		{"tenure/shared/eventlog", "tenure/shared/events tenure/shared/pg"},
		{"tenure/shared/bus", "tenure/shared/events tenure/shared/eventlog tenure/shared/fault tenure/shared/pg"},
		{"tenure/shared/inbox", "tenure/shared/events tenure/shared/bus tenure/shared/fault tenure/shared/pg"},
		{"tenure/shared/vault", "tenure/shared/pg"},
		// What customers link into their programs brings no database along.
		{"tenure/shared/plans", ""},
		{"tenure/shared/gate", "tenure/shared/events tenure/shared/plans"},
		{"tenure/shared/gate/pgcounter", "tenure/shared/gate"},
		{"tenure/shared/rls", "tenure/shared/pg"},
		{"tenure/shared/participant", "tenure/shared/events tenure/shared/fault"},
		{"tenure/shared/client", "tenure/shared/events tenure/shared/problem"},
	}
	all := packages(t)
	for _, rule := range allowed {
		p, ok := all[rule.pkg]
		if !ok {
			t.Errorf("%s is gone: drop its rule", rule.pkg)
		}
		for _, i := range p.Imports {
			if ours(i) && !slices.Contains(strings.Fields(rule.of), i) {
				t.Errorf("%s imports %s; it may import %q alone", rule.pkg, i, rule.of)
			}
		}
	}
	for name, p := range all {
		for _, i := range p.Imports {
			switch {
			case within(name, "tenure/shared") && within(i, "tenure/services"):
				t.Errorf("%s imports %s: shared knows no service", name, i)
			case within(name, "tenure/services/connectors") && serviceOf(i) != "":
				t.Errorf("%s imports %s: connectors know no service", name, i)
			case serviceOf(name) != "" && matches(i, "tenure/services/cmd/...", "tenure/services/devstack/...", "tenure/services/e2e/..."):
				t.Errorf("%s imports %s: a service knows nothing of what runs it", name, i)
			}
		}
	}
}

// TestServicesAreApart holds that services meet on the bus alone.
func TestServicesAreApart(t *testing.T) {
	for name, p := range packages(t) {
		service := serviceOf(name)
		for _, i := range p.Imports {
			if other := serviceOf(i); service != "" && other != "" && other != service {
				t.Errorf("%s imports %s: no service imports another", name, i)
			}
		}
	}
}

// TestPurePackages holds that what decides needs no clock, no database and no network to be tested.
func TestPurePackages(t *testing.T) {
	pure := []string{
		"tenure/services/lifecycle/internal/tenant", "tenure/services/billing/internal/plan",
		"tenure/services/billing/internal/usage", "tenure/services/export/internal/manifest",
		"tenure/services/deletion/internal/purge", "tenure/services/deletion/internal/roots",
		"tenure/services/notifier/internal/message", "tenure/services/notifier/internal/campaign", "tenure/services/notifier/internal/link",
		"tenure/services/notifier/internal/webhook", "tenure/services/notifier/internal/language", "tenure/shared/plans", "tenure/shared/retention",
	}
	// What they may import beside each other: it touches nothing either, but takes a library's help (CloudEvents, the
	// canonical form of JSON).
	helpers := []string{"tenure/shared/events", "tenure/services/deletion/internal/certificate"}
	impure := []string{"database/sql", "log/slog", "math/rand/...", "crypto/rand", "net", "net/http", "os", "os/exec", "os/signal", "runtime"}
	all := packages(t)
	for _, name := range pure {
		p, ok := all[name]
		if !ok {
			t.Errorf("%s is gone: drop it from the rule", name)
		}
		for _, i := range p.Imports {
			if !matches(i, append(pure, helpers...)...) && !all[i].Standard || matches(i, impure...) {
				t.Errorf("%s imports %s: pure packages import each other, a few helpers, and of the standard library what touches nothing", name, i)
			}
		}
	}
}

// TestVendorsStayBehindDoors holds that a vendor's SDK is known to the packages that wrap it alone.
func TestVendorsStayBehindDoors(t *testing.T) {
	doors := []struct {
		vendor, packages string
	}{
		{"github.com/stripe/stripe-go", "tenure/services/billing/internal/stripeapi tenure/services/billing/internal/webhook " +
			"tenure/services/cmd/tenure/internal/bench"}, // which signs webhooks as Stripe does
		{"github.com/aws", "tenure/services/*/internal/blob tenure/services/connectors/s3 tenure/services/connectors/s3/s3test " +
			"tenure/services/devstack/s3server"},
		{"github.com/nats-io/nats.go", "tenure/shared/bus tenure/shared/participant/... tenure/shared/gate tenure/shared/client " +
			"tenure/shared/testkit tenure/services/devstack/... tenure/services/cmd/tenure/internal/bench"},
		{"github.com/nats-io/nats-server", "tenure/shared/testkit tenure/services/devstack/natsserver"},
	}
	for name, p := range packages(t) {
		for _, door := range doors {
			for _, i := range p.Imports {
				if ours(name) && within(i, door.vendor) && !matches(name, strings.Fields(door.packages)...) {
					t.Errorf("%s imports %s, which only these do: %s", name, i, door.packages)
				}
			}
		}
	}
}

// TestProductionLinksNoTestCode holds that the services' binaries are free of what serves tests and the dev stack.
func TestProductionLinksNoTestCode(t *testing.T) {
	// Pinecone's own client has a suite of tests among its production files. It stays for being Pinecone's own: it and
	// testify are 27 of 863 packages and 2% of the binary of cmd/export.
	const pinecone, testify = "github.com/pinecone-io/go-pinecone/v5/pinecone", "github.com/stretchr/testify/suite"
	all := packages(t)
	if !slices.Contains(all[pinecone].Imports, testify) {
		t.Errorf("%s is free of tests by now: drop its exception", pinecone)
	}
	for _, service := range []string{"lifecycle", "billing", "export", "deletion", "notifier"} {
		main, ok := all["tenure/services/cmd/"+service]
		if !ok {
			t.Errorf("services/cmd/%s is missing", service)
		}
		for _, dep := range main.Deps {
			if matches(dep, "tenure/shared/testkit", "tenure/shared/pgserver", "tenure/services/devstack/...",
				"tenure/services/sample/...", "github.com/nats-io/nats-server/...") {
				t.Errorf("services/cmd/%s links %s", service, dep)
			}
			if slices.Contains(all[dep].Imports, "testing") && dep != pinecone && dep != testify {
				t.Errorf("services/cmd/%s links %s, which imports testing", service, dep)
			}
		}
	}
}
