package dev

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"text/tabwriter"

	"tenure/services/devstack"
	"tenure/shared/runner"
)

const indexText = `Tenure, for development.

  /openapi.json         what the API can do
  /v1/tenants           the tenants (Authorization: Bearer dev)
  /v1/events            the audit log
  /healthz  /readyz  /metrics
  /sample/{tenant}/...  the sample SaaS

On the command line: tenure --help
`

// index answers at the root, where people who start with a browser come in. It is no more than a route.
type index struct{}

func newIndex(_ context.Context, deps runner.Deps) (runner.Service, error) {
	deps.Mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, indexText)
	})
	return index{}, nil
}

func (index) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (index) Ready(context.Context) error { return nil }

// PrintAddresses tells people where everything is.
func PrintAddresses(out io.Writer, dir string, a devstack.Addresses) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range [][2]string{
		{"API", a.HTTP + "   token: " + a.OperatorToken},
		{"OpenAPI", a.HTTP + "/openapi.json"},
		{"NATS", a.NATS},
		{"PostgreSQL", a.Postgres},
		{"S3", a.S3.Endpoint + "/" + a.S3.Bucket},
		{"Stripe simulator", a.Stripe + "/_sim/log"},
		{"mails", a.Mail},
		{"all of it", filepath.Join(dir, devstack.AddressesFile)},
	} {
		fmt.Fprintf(w, "  %s\t%s\n", row[0], row[1])
	}
	_ = w.Flush() // the screen
}
