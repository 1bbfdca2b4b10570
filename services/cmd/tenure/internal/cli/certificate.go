package cli

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"

	certificate "tenure/services/deletion/verify"
)

func (o *options) verifyCertificate(out io.Writer, path string, keys []string) error {
	trusted, err := parseKeys(keys)
	if err != nil {
		return err
	}
	document, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	report, err := certificate.Certificate(document, trusted...)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return o.print(out, report, func() error {
		_, err := io.WriteString(out, certified(report))
		return err
	})
}

// certified says in words what a certificate proves.
func certified(r certificate.Report) string {
	var b strings.Builder
	b.WriteString("the certificate is genuine: ")
	switch r.Kind {
	case certificate.Deletion:
		fmt.Fprintf(&b, "%s, life %d, was deleted %s (due %s)\n", r.TenantID, r.Generation, stamp(r.FinishedAt), stamp(r.ScheduledFor))
	case certificate.Retention:
		fmt.Fprintf(&b, "data of class %s of %s, life %d, was erased %s (kept until %s by %s)\n",
			r.Class, r.TenantID, r.Generation, stamp(r.FinishedAt), stamp(r.ScheduledFor), r.Basis)
	case certificate.Subject:
		fmt.Fprintf(&b, "one person's rows in %s were erased %s (asked for %s, due %s)\n",
			r.TenantID, stamp(r.FinishedAt), stamp(r.RequestedAt), stamp(r.DueBy))
	}
	fmt.Fprintf(&b, "%d stores were re-read and found empty; they held %d rows\n", r.Stores, r.Erased)
	if r.Policy.Hash != "" {
		fmt.Fprintf(&b, "retention: %d days, of %d to %d that policy %s allowed\n", r.Policy.RetentionDays, r.Policy.MinDays, r.Policy.MaxDays, r.Policy.Hash)
	}
	for _, e := range r.Exceptions {
		fmt.Fprintf(&b, "stays: %s: %s", e.What, cmp.Or(e.Basis, e.Why))
		if e.Rows != nil {
			fmt.Fprintf(&b, ", %d rows", *e.Rows)
		}
		if e.Until != nil {
			fmt.Fprintf(&b, ", until %s", stamp(*e.Until))
		}
		b.WriteString("\n")
	}
	if r.ChainHead.Hash != "" {
		fmt.Fprintf(&b, "the tenant's log ends at version %d, %s\n", r.ChainHead.Version, r.ChainHead.Hash)
	}
	if !r.Trusted {
		fmt.Fprintf(&b, "signed with key %s: compare it with GET /v1/keys, or name the key with --key\n", r.KeyID)
	}
	return b.String()
}
