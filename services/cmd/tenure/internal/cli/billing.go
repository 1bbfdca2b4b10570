package cli

import (
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tenure/shared/client"
)

func newBilling(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "billing", Short: "Look after the money"}
	cmd.AddCommand(newBillingDrift(o))
	return cmd
}

func newBillingDrift(o *options) *cobra.Command {
	var heal bool
	cmd := &cobra.Command{
		Use:   "drift",
		Short: "Show where Stripe and the log do not agree",
		Long: "Compare what Stripe has live with what the log says that each tenant should be paying. Without --heal nothing is\n" +
			"changed. The exit code is 1 if there is drift that needs a person; deploy/runbooks/billing-drift.md says what to do.",
		Args: cobra.NoArgs,
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			c.HTTP = &http.Client{} // without a limit: Stripe's list of all subscriptions may take minutes
			drift, err := readDrift(cmd, c, heal)
			if err != nil {
				return err
			}
			err = o.print(cmd.OutOrStdout(), drift, func() error { return printDrift(cmd.OutOrStdout(), drift) })
			if err != nil {
				return err
			}
			return needsPerson(drift)
		}),
	}
	cmd.Flags().BoolVar(&heal, "heal", false, "set right what can be set right without charging anybody")
	return cmd
}

func readDrift(cmd *cobra.Command, c *client.Client, heal bool) (client.Drift, error) {
	if heal {
		return c.HealBillingDrift(cmd.Context())
	}
	return c.BillingDrift(cmd.Context())
}

func printDrift(out io.Writer, d client.Drift) error {
	if len(d.Items) > 0 {
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "TENANT\tKIND\tSINCE\tSTATUS\tDETAIL")
		for _, i := range d.Items {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", i.Tenant, i.Kind, stamp(i.FirstSeen), driftStatus(i), i.Detail)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "differences: %d, in %d lives of tenants\n", len(d.Items), d.Checked)
	if err == nil && d.More {
		_, err = fmt.Fprintln(out, "there is more: look again when this is mended")
	}
	return err
}

func driftStatus(d client.Difference) string {
	switch {
	case d.Healed:
		return "healed"
	case d.NeedsPerson:
		return "needs a person"
	}
	return "heals by itself"
}

func needsPerson(d client.Drift) error {
	n := 0
	for _, i := range d.Items {
		if i.NeedsPerson {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("differences that need a person: %d; see deploy/runbooks/billing-drift.md", n)
}
