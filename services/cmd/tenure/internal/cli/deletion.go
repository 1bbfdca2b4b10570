package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tenure/shared/client"
)

func newDeletion(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "deletion", Short: "Look after what was deleted"}
	cmd.AddCommand(newReapply(o))
	return cmd
}

func newReapply(o *options) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "reapply",
		Short: "Erase again what a backup brought back of deleted tenants",
		Long: "Erase again everything of the tenants that have a deletion certificate, after a restore from a backup. Tenants that the\n" +
			"log shows alive, or that came back since, are left as they are and listed; deploy/runbooks/restore.md says what to do\n" +
			"about them. What participants erase by themselves is not touched. The exit code is 1 when a tenant was refused.",
		Args: cobra.NoArgs,
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			c.HTTP = &http.Client{} // without a limit: the bucket may have many certificates
			r, err := reapply(cmd.Context(), c, newProgress(cmd.ErrOrStderr()), dry)
			if err != nil {
				return err
			}
			if err := o.print(cmd.OutOrStdout(), r, func() error { return printReapplication(cmd.OutOrStdout(), r) }); err != nil {
				return err
			}
			return refusedTombstones(r)
		}),
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "count what would be erased, and erase nothing")
	return cmd
}

// reapply asks for it and waits until every tenant is done.
func reapply(ctx context.Context, c *client.Client, p *progress, dry bool) (r client.Reapplication, err error) {
	defer p.end()
	asked, err := c.ReapplyDeletions(ctx, dry)
	if err != nil {
		return asked, err
	}
	for r, err = range c.WatchReapplication(ctx, asked.ID) {
		if err != nil {
			return r, err
		}
		if open := count(r, "open"); open > 0 {
			p.set(1-float64(open)/float64(len(r.Tombstones)), fmt.Sprintf("%d tenants left", open))
		}
	}
	return r, nil
}

func count(r client.Reapplication, status string) (n int) {
	for _, t := range r.Tombstones {
		if t.Status == status {
			n++
		}
	}
	return n
}

func printReapplication(out io.Writer, r client.Reapplication) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	done, rows := 0, int64(0)
	for _, t := range r.Tombstones {
		if t.Status == "refused" {
			fmt.Fprintf(w, "%s\trefused\t%s\n", t.Tenant, t.Reason)
			continue
		}
		done, rows = done+1, rows+t.Rows
		if t.Rows > 0 {
			fmt.Fprintf(w, "%s\t%s\t%d rows\n", t.Tenant, t.Status, t.Rows)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	verb := "erased"
	if r.DryRun {
		verb = "would be erased"
	}
	_, err := fmt.Fprintf(out, "%s: %d rows, of %d deleted tenants that were looked at\n", verb, rows, done)
	return err
}

func refusedTombstones(r client.Reapplication) error {
	if n := count(r, "refused"); n > 0 {
		return fmt.Errorf("tenants that were refused: %d; see deploy/runbooks/restore.md", n)
	}
	return nil
}
