package cli

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	archive "tenure/services/export/verify"
	"tenure/shared/client"
	"tenure/shared/eventlog"
	"tenure/shared/events"
)

func newVerify(o *options) *cobra.Command {
	var (
		log    bool
		tenant string
	)
	cmd := &cobra.Command{
		Use:   "verify (FILE.zip | CERTIFICATE.json | --log [--tenant TENANT])",
		Short: "Prove an archive, a deletion certificate or the live audit log",
		Long: "Prove that an export archive is whole, that a deletion certificate is genuine, or that the live audit log is a\n" +
			"chain without gaps. Files are checked offline. The exit code is 0 only if all is right.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case log && len(args) == 0:
				c, err := o.client()
				if err != nil {
					return err
				}
				report, err := verifyLog(cmd.Context(), c, tenant)
				if err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), report, func() error {
					_, err := fmt.Fprintf(cmd.OutOrStdout(), "the log is whole: %d events of %d tenants\n", report.Events, report.Tenants)
					return err
				})
			case !log && len(args) == 1:
				return o.verifyFile(cmd.OutOrStdout(), args[0])
			}
			return errors.New("name one file, or --log")
		},
	}
	cmd.Flags().BoolVar(&log, "log", false, "check the live log")
	cmd.Flags().StringVar(&tenant, "tenant", "", "of the log, only this tenant's part")
	return cmd
}

// verifyFile tells an archive from a certificate by its first bytes.
func (o *options) verifyFile(out io.Writer, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	magic := make([]byte, 2)
	if _, err := file.ReadAt(magic, 0); err != nil {
		return fmt.Errorf("%s is neither an archive nor a certificate: %w", path, err)
	}
	if !bytes.Equal(magic, []byte("PK")) {
		return o.verifyCertificate(out, path)
	}
	report, err := archive.File(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return o.print(out, report, func() error {
		_, err := fmt.Fprintf(out, "the archive is whole: export %s of %s, taken %s, %d files, %d bytes\nrows: %v\n",
			report.ExportID, report.TenantID, stamp(report.SnapshotAt), report.Files, report.Bytes, report.Counts)
		return err
	})
}

type logReport struct {
	Events  int `json:"events"`
	Tenants int `json:"tenants"`
}

// verifyLog recomputes the hash chain of one tenant, or of all when tenant is empty.
func verifyLog(ctx context.Context, c *client.Client, tenant string) (logReport, error) {
	type head struct {
		hash    []byte
		version int64
	}
	heads := map[string]head{}
	report := logReport{}
	for e, err := range c.Events(ctx, client.EventFilter{Tenant: tenant}) {
		if err != nil {
			return report, err
		}
		recorded, err := asRecorded(e)
		if err != nil {
			return report, fmt.Errorf("tenant %s, version %d: %w", e.Tenant, e.Version, err)
		}
		h := heads[e.Tenant]
		h.hash, err = eventlog.VerifyChain(e.Tenant, h.hash, h.version, []eventlog.Recorded{recorded})
		if err != nil {
			return report, fmt.Errorf("the log was changed: %w", err)
		}
		h.version = e.Version
		heads[e.Tenant] = h
		report.Events++
	}
	report.Tenants = len(heads)
	if tenant != "" && report.Tenants == 0 {
		return report, fmt.Errorf("tenant %s has no events", tenant)
	}
	return report, nil
}

func asRecorded(e client.LogEvent) (eventlog.Recorded, error) {
	hash, err := hex.DecodeString(e.Hash)
	if err != nil {
		return eventlog.Recorded{}, fmt.Errorf("its hash %q: %w", e.Hash, err)
	}
	return eventlog.Recorded{
		Event: events.Event{
			Subject:       e.Tenant,
			Sequence:      e.Version,
			Type:          e.Type,
			Time:          e.Time,
			Actor:         e.Actor,
			CorrelationID: e.CorrelationID,
			CausationID:   e.CausationID,
			Data:          e.Data,
		},
		Hash: hash,
	}, nil
}
