package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tenure/shared/client"
)

func newTenants(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "tenants", Short: "List and show tenants"}
	cmd.AddCommand(newTenantsList(o), newTenantsShow(o), newTenantsTimeline(o))
	return cmd
}

func newTenantsList(o *options) *cobra.Command {
	var filter client.TenantFilter
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List tenants",
		Args:  cobra.NoArgs,
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			tenants := []client.Tenant{}
			for t, err := range c.Tenants(cmd.Context(), filter) {
				if err != nil {
					return err
				}
				tenants = append(tenants, t)
			}
			return o.print(cmd.OutOrStdout(), tenants, func() error { return printTenants(cmd.OutOrStdout(), tenants) })
		}),
	}
	cmd.Flags().StringVar(&filter.State, "state", "", "only those in this state")
	cmd.Flags().StringVar(&filter.Plan, "plan", "", "only those on this plan")
	cmd.Flags().StringVarP(&filter.Q, "query", "q", "", "only those whose id or name has this part")
	return cmd
}

func printTenants(out io.Writer, tenants []client.Tenant) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tPLAN\tSTATUS\tCREATED")
	for _, t := range tenants {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", t.ID, t.Name, t.Plan, t.Status, stamp(t.CreatedAt))
	}
	return w.Flush()
}

func newTenantsShow(o *options) *cobra.Command {
	var asOf string
	cmd := &cobra.Command{
		Use:   "show TENANT",
		Short: "Show one tenant, as it is or as it was",
		Args:  cobra.ExactArgs(1),
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, args []string) error {
			t, err := readTenant(cmd, c, args[0], asOf)
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), t, func() error { return printTenant(cmd.OutOrStdout(), t) })
		}),
	}
	cmd.Flags().StringVar(&asOf, "as-of", "", "a time in the past, as in 2026-01-31T12:00:00Z")
	return cmd
}

func readTenant(cmd *cobra.Command, c *client.Client, id, asOf string) (client.Tenant, error) {
	if asOf == "" {
		return c.Tenant(cmd.Context(), id)
	}
	at, err := time.Parse(time.RFC3339, asOf)
	if err != nil {
		return client.Tenant{}, fmt.Errorf("--as-of: %w", err)
	}
	return c.TenantAsOf(cmd.Context(), id, at)
}

func printTenant(out io.Writer, t client.Tenant) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("id", "%s", t.ID)
	row("name", "%s", t.Name)
	row("plan", "%s", t.Plan)
	row("status", "%s", t.Status)
	row("version", "%d, life %d", t.Version, t.Generation)
	row("created", "%s", stamp(t.CreatedAt))
	row("queries", "%d of %s this month", t.Usage.Queries, limit(float64(t.Limits.Queries)))
	row("documents", "%d of %s", t.Usage.Documents, limit(float64(t.Limits.Documents)))
	row("storage", "%.3f GB of %s", t.Usage.StorageGB, limit(t.Limits.StorageGB))
	if t.Exempt {
		row("exempt", "access stays open whatever is owed")
	}
	for _, b := range t.Blocks {
		row("block", "%s since %s %s", b.Kind, stamp(b.Since), b.Reason)
	}
	for _, h := range t.Holds {
		row("hold", "%s since %s", h.Reason, stamp(h.Since))
	}
	for _, a := range t.Approvals {
		row("approval", "%s of %s waits until %s: %s", a.Command, a.RequestedBy, stamp(a.ExpiresAt), a.ID)
	}
	for _, op := range t.Operations {
		row("operation", "%s %s %s", op.Kind, op.Status, op.ID)
	}
	if p := t.PendingChange; p != nil {
		row("pending", "%s to %s at %s", p.Command, p.Plan, stamp(p.DueAt))
	}
	if d := t.Deletion; d != nil {
		row("deletion", "between %s and %s", stamp(d.Window.Earliest), stamp(d.Window.Latest))
	}
	row("allowed", "%s", strings.Join(t.AllowedCommands, ", "))
	return w.Flush()
}

func newTenantsTimeline(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "timeline TENANT",
		Short: "Show everything that happened to a tenant, oldest first",
		Args:  cobra.ExactArgs(1),
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, args []string) error {
			for e, err := range c.Timeline(cmd.Context(), args[0]) {
				if err != nil {
					return err
				}
				if err := o.printEvent(cmd.OutOrStdout(), e); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

func limit(n float64) string {
	if n == 0 {
		return "any number"
	}
	return fmt.Sprintf("%g", n)
}
