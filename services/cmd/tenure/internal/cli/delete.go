package cli

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tenure/shared/client"
)

func newDelete(o *options) *cobra.Command {
	var (
		body          client.Delete
		days          int
		dryRun, watch bool
	)
	cmd := &cobra.Command{
		Use:   "delete TENANT",
		Short: "Close a tenant's access, and delete its data after the retention",
		Args:  cobra.ExactArgs(1),
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, args []string) error {
			if cmd.Flags().Changed("retention-days") {
				body.RetentionDays = &days
			}
			if dryRun {
				return o.previewDeletion(cmd, c, args[0], body)
			}
			before, err := c.Tenant(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			d, err := c.Delete(cmd.Context(), args[0], body)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			err = o.print(out, d, func() error { return printDeletion(out, args[0], d) })
			if err != nil || !watch {
				return err
			}
			_, err = followTenant(cmd.Context(), c, newProgress(out), args[0], before.Version, "deleted", "active", "suspended")
			return err
		}),
	}
	cmd.Flags().IntVar(&days, "retention-days", 0, "days until the deletion (default: the policy's)")
	cmd.Flags().StringVar(&body.Reason, "reason", "", "why, for the audit log")
	cmd.Flags().StringVar(&body.Confirm, "confirm", "", "the tenant's name or id: without the right one nothing is deleted")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be erased and what would stay, and change nothing")
	watchFlag(cmd, &watch)
	cmd.MarkFlagsMutuallyExclusive("dry-run", "watch")
	return cmd
}

func printDeletion(out io.Writer, tenant string, d client.DeletionScheduled) error {
	if d.Approval != nil {
		return printApproval(out, tenant, *d.Approval)
	}
	_, err := fmt.Fprintf(out, "%s will be deleted between %s and %s\n", tenant, stamp(d.Window.Earliest), stamp(d.Window.Latest))
	if err == nil && d.ExportOffer != nil {
		_, err = fmt.Fprintf(out, "its data can be taken along until %s: tenure export %s\n", stamp(d.ExportOffer.Until), tenant)
	}
	return err
}

// previewDeletion is the dry run. A deletion that would be refused is an error, as the deletion itself would be.
func (o *options) previewDeletion(cmd *cobra.Command, c *client.Client, tenant string, body client.Delete) error {
	p, err := c.Preview(cmd.Context(), tenant, "delete", body)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if err := o.print(out, p, func() error { return printDryRun(out, tenant, p) }); err != nil {
		return err
	}
	if p.Refusal != nil {
		return errors.New(p.Refusal.Detail)
	}
	return nil
}

func printDryRun(out io.Writer, tenant string, p client.Preview) error {
	if p.Refusal != nil {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "nothing was changed; a deletion of %s would begin", tenant)
	if p.DueAt != nil {
		fmt.Fprintf(w, " at %s", stamp(*p.DueAt))
	}
	if p.NeedsApproval {
		fmt.Fprint(w, ", if another operator approved now")
	}
	fmt.Fprintln(w)
	if p.Erasure != nil {
		printErasure(w, *p.Erasure)
	}
	return w.Flush()
}

func printErasure(w io.Writer, e client.Erasure) {
	if e.Source == "stores" {
		fmt.Fprintf(w, "erased: %d rows, some %.1f MB\n", e.Rows, float64(e.Bytes)/1e6)
	} else {
		fmt.Fprintln(w, "erased: what the stores hold is not known, for deletion does not answer")
	}
	for _, s := range e.Stores {
		if s.Error != "" {
			fmt.Fprintf(w, "  %s\t%s\tnot counted: %s\n", s.Store, s.Kind, s.Error)
			continue
		}
		fmt.Fprintf(w, "  %s\t%s\t%d rows\n", s.Store, s.Kind, s.Rows)
	}
	fmt.Fprintln(w, "stays:")
	for _, r := range e.Stays {
		fmt.Fprintf(w, "  %s: %s", r.What, r.Why)
		if r.Until != nil {
			fmt.Fprintf(w, "; until %s", stamp(*r.Until))
		}
		fmt.Fprintln(w)
	}
}
