package cli

import (
	"crypto/ed25519"
	"fmt"

	"github.com/spf13/cobra"

	"tenure/services/cmd/tenure/internal/audit"
)

// logCheck is what --log looks at.
type logCheck struct {
	// tenant is the only one to look at; "" is all.
	tenant string
	// roots is a directory with a copy of the bucket's roots; "" asks the API for them.
	roots string
	// since is the first day whose root counts; "" is the first of all.
	since string
}

func (l *logCheck) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&l.tenant, "tenant", "", "of the log, only this tenant's part")
	f.StringVar(&l.roots, "roots", "", "directory with a copy of the bucket's roots/ (default: ask the API for them)")
	f.StringVar(&l.since, "since", "", "hold the log against the roots of this day and later alone: the day of a restore from a backup")
}

// verifyLog checks the live log: each tenant's chain, and that no tenant's log was cut, rewritten or removed behind a
// signed root.
func (o *options) verifyLog(cmd *cobra.Command, l logCheck, keys []ed25519.PublicKey) error {
	c, err := o.client()
	if err != nil {
		return err
	}
	var source audit.Source = audit.Live{Client: c}
	if l.roots != "" {
		source = audit.Dir(l.roots)
	}
	// First the roots: what is written meanwhile is behind them all.
	signed, err := audit.ReadRoots(cmd.Context(), source, l.since, l.tenant, keys...)
	if err != nil {
		return err
	}
	report, err := audit.VerifyLog(cmd.Context(), c, l.tenant, signed)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	return o.print(out, report, func() error {
		_, err := fmt.Fprintf(out, "the log is whole: %d events of %d tenants\n", report.Events, report.Tenants)
		if err != nil || report.Roots == 0 {
			return err
		}
		_, err = fmt.Fprintf(out, "it holds all that its %d signed roots have seen, the newest of %s\n", report.Roots, report.NewestRoot)
		if err != nil || report.Trusted {
			return err
		}
		_, err = fmt.Fprintf(out, "signed with key %s: compare it with GET /v1/keys, or name the key with --key\n", report.KeyID)
		return err
	})
}
