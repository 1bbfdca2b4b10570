package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tenure/shared/client"
)

func newApprove(o *options) *cobra.Command {
	return newDecision(o, "approve TENANT APPROVAL", "Do what another operator asked for", (*client.Client).Approve)
}

func newReject(o *options) *cobra.Command {
	return newDecision(o, "reject TENANT APPROVAL", "Turn down what another operator asked for, or take one's own request back", (*client.Client).Reject)
}

// decision is what an operator says about another's request.
type decision func(c *client.Client, ctx context.Context, tenant, approval, why string, opts ...client.Option) (client.Tenant, error)

func newDecision(o *options, use, short string, decide decision) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(2),
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, args []string) error {
			if _, err := decide(c, cmd.Context(), args[0], args[1], why); err != nil {
				return err
			}
			return o.showTenant(cmd, c, args[0])
		}),
	}
	cmd.Flags().StringVar(&why, "reason", "", "why, for the audit log")
	return cmd
}

// printApproval says what waits for whom, and how to decide it.
func printApproval(out io.Writer, tenant string, a client.Approval) error {
	_, err := fmt.Fprintf(out, "%s, asked for by %s, waits until %s for another operator: tenure approve %s %s\n",
		a.Command, a.RequestedBy, stamp(a.ExpiresAt), tenant, a.ID)
	return err
}
