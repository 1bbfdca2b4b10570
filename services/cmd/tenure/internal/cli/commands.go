package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"tenure/shared/client"
)

func newCommands(o *options) []*cobra.Command {
	return []*cobra.Command{
		newRegister(o), newUpgrade(o), newDowngrade(o), newExport(o), newImport(o), newDelete(o), newApprove(o), newReject(o), newReactivate(o),
		newSimple(o, "suspend TENANT", "Close a tenant's access", (*client.Client).Suspend),
		newSimple(o, "resume TENANT", "Lift what suspend did", (*client.Client).Resume),
		newSimple(o, "hold TENANT", "Forbid the destruction of a tenant's data", (*client.Client).PlaceHold),
		newSimple(o, "release TENANT", "Lift all holds of a tenant", releaseHolds),
		newSimple(o, "exempt TENANT", "Keep a tenant's access open whatever it owes", (*client.Client).Exempt),
		newSimple(o, "end-exemption TENANT", "Have a tenant pay like any other again", (*client.Client).EndExemption),
		newSimple(o, "cancel-signup TENANT", "Give up a sign-up that was not paid for", withoutReason((*client.Client).CancelSignup)),
		newSimple(o, "cancel-deletion TENANT", "Bring a leaving tenant back as it was", withoutReason((*client.Client).CancelDeletion)),
		newSimple(o, "cancel-change TENANT", "Drop the scheduled downgrade", cancelChange),
	}
}

// simple is a command that needs a tenant and perhaps a reason.
type simple func(c *client.Client, ctx context.Context, tenant, why string, opts ...client.Option) error

func withoutReason(call func(*client.Client, context.Context, string, ...client.Option) error) simple {
	return func(c *client.Client, ctx context.Context, tenant, _ string, opts ...client.Option) error {
		return call(c, ctx, tenant, opts...)
	}
}

func cancelChange(c *client.Client, ctx context.Context, tenant, _ string, opts ...client.Option) error {
	_, err := c.CancelPendingChange(ctx, tenant, opts...)
	return err
}

func releaseHolds(c *client.Client, ctx context.Context, tenant, why string, opts ...client.Option) error {
	_, err := c.ReleaseHolds(ctx, tenant, why, opts...)
	return err
}

func newSimple(o *options, use, short string, call simple) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, args []string) error {
			if err := call(c, cmd.Context(), args[0], why); err != nil {
				return err
			}
			return o.showTenant(cmd, c, args[0])
		}),
	}
	cmd.Flags().StringVar(&why, "reason", "", "why, for the audit log")
	return cmd
}

// showTenant ends a command that has no answer of its own to show.
func (o *options) showTenant(cmd *cobra.Command, c *client.Client, id string) error {
	t, err := c.Tenant(cmd.Context(), id)
	if err != nil {
		return err
	}
	return o.print(cmd.OutOrStdout(), t, func() error {
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is %s\n", t.ID, t.Status); err != nil {
			return err
		}
		for _, a := range t.Approvals {
			if err := printApproval(cmd.OutOrStdout(), t.ID, a); err != nil {
				return err
			}
		}
		return nil
	})
}

// showOperation prints what was begun, and follows it to its end when that was asked for.
func (o *options) showOperation(cmd *cobra.Command, c *client.Client, op client.Operation, watch bool) error {
	if !watch {
		return o.print(cmd.OutOrStdout(), op, func() error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s of %s: %s, operation %s\n", op.Kind, op.Tenant, op.Status, op.ID)
			return err
		})
	}
	return followOperation(cmd.Context(), c, newProgress(cmd.OutOrStdout()), op.ID)
}

func watchFlag(cmd *cobra.Command, into *bool) {
	cmd.Flags().BoolVarP(into, "watch", "w", false, "show how it goes on, to the end")
}

func newRegister(o *options) *cobra.Command {
	var (
		body  client.Register
		watch bool
	)
	cmd := &cobra.Command{
		Use:   "register [TENANT]",
		Short: "Sign a tenant up",
		Args:  cobra.MaximumNArgs(1),
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, args []string) error {
			if len(args) == 1 {
				body.ID = args[0]
			}
			t, err := c.Register(cmd.Context(), body)
			if err != nil {
				return err
			}
			if !watch {
				return o.showTenant(cmd, c, t.ID)
			}
			state, err := followTenant(cmd.Context(), c, newProgress(cmd.OutOrStdout()), t.ID, 0,
				"active", "trialing", "abandoned", "provisioning_failed")
			if err != nil {
				return err
			}
			if state != "active" && state != "trialing" {
				return fmt.Errorf("the sign-up of %s ended as %s", t.ID, state)
			}
			return nil
		}),
	}
	f := cmd.Flags()
	f.StringVar(&body.Name, "name", "", "name of the customer")
	f.StringVar(&body.Email, "email", "", "where mails go")
	f.StringVar(&body.Plan, "plan", "starter", "plan to begin with")
	f.StringVar(&body.Region, "region", "", "region of the data")
	f.BoolVar(&body.GDPR, "gdpr", false, "the GDPR holds for this tenant")
	f.IntVar(&body.TrialDays, "trial-days", 0, "days before the first payment")
	watchFlag(cmd, &watch)
	for _, name := range []string{"name", "email"} {
		_ = cmd.MarkFlagRequired(name) // fails for an unknown flag alone
	}
	return cmd
}

func newUpgrade(o *options) *cobra.Command {
	var (
		body  client.Upgrade
		watch bool
	)
	cmd := &cobra.Command{
		Use:   "upgrade TENANT PLAN",
		Short: "Change to a higher plan",
		Args:  cobra.ExactArgs(2),
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, args []string) error {
			body.Plan = args[1]
			op, err := c.Upgrade(cmd.Context(), args[0], body)
			if err != nil {
				return err
			}
			return o.showOperation(cmd, c, op, watch)
		}),
	}
	cmd.Flags().StringVar(&body.Reason, "reason", "", "why, for the audit log")
	watchFlag(cmd, &watch)
	return cmd
}

func newDowngrade(o *options) *cobra.Command {
	var (
		body  client.Downgrade
		watch bool
	)
	cmd := &cobra.Command{
		Use:   "downgrade TENANT PLAN",
		Short: "Change to a lower plan, now or when the paid period ends",
		Args:  cobra.ExactArgs(2),
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, args []string) error {
			body.Plan = args[1]
			op, err := c.Downgrade(cmd.Context(), args[0], body)
			if err != nil {
				return err
			}
			return o.showOperation(cmd, c, op, watch)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&body.At, "at", "period_end", "period_end or now")
	f.StringVar(&body.Resolution, "resolution", "refuse", "what to do with data that does not fit: refuse, freeze or archive")
	f.StringVar(&body.Reason, "reason", "", "why, for the audit log")
	watchFlag(cmd, &watch)
	return cmd
}

func newReactivate(o *options) *cobra.Command {
	var (
		body         client.Reactivate
		fresh, watch bool
	)
	cmd := &cobra.Command{
		Use:   "reactivate TENANT",
		Short: "Bring a suspended, leaving or deleted tenant back",
		Args:  cobra.ExactArgs(1),
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, args []string) error {
			if fresh {
				body.RestoreData = new(bool)
			}
			op, err := c.Reactivate(cmd.Context(), args[0], body)
			if err != nil {
				return err
			}
			return o.showOperation(cmd, c, op, watch)
		}),
	}
	cmd.Flags().StringVar(&body.Plan, "plan", "", "plan to come back to (default: the last one)")
	cmd.Flags().StringVar(&body.Coupon, "coupon", "", "Stripe's id of a coupon to come back with")
	cmd.Flags().BoolVar(&fresh, "fresh", false, "begin without the old data")
	watchFlag(cmd, &watch)
	return cmd
}
