package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tenure/shared/client"
)

func newWebhooks(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "webhooks", Short: "Have a tenant's own systems told what happens to it"}
	cmd.AddCommand(
		newWebhooksAdd(o), newWebhooksList(o), newWebhooksDeliveries(o),
		newWebhookCall(o, "remove TENANT WEBHOOK", "Tell an address no more", "removed", (*client.Client).RemoveWebhook),
		newWebhookCall(o, "enable TENANT WEBHOOK", "Call a webhook again that was switched off", "enabled", (*client.Client).EnableWebhook),
		newWebhookCall(o, "test TENANT WEBHOOK", "Call a webhook now; deliveries shows what comes of it", "is called", (*client.Client).TestWebhook),
		newWebhooksRedeliver(o),
	)
	return cmd
}

func newWebhooksAdd(o *options) *cobra.Command {
	var body client.NewWebhook
	cmd := &cobra.Command{
		Use:   "add TENANT URL",
		Short: "Have an address told what happens to a tenant",
		Args:  cobra.ExactArgs(2),
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, args []string) error {
			body.URL = args[1]
			added, err := c.AddWebhook(cmd.Context(), args[0], body)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			return o.print(out, added, func() error {
				_, err := fmt.Fprintf(out, "webhook %s of %s\nsecret, shown this once: %s\n", added.ID, args[0], added.Secret)
				return err
			})
		}),
	}
	cmd.Flags().StringSliceVar(&body.Events, "event", nil, "types of events, or their beginnings with * behind (default: all that tenants may see)")
	cmd.Flags().StringVar(&body.Description, "description", "", "what it is for")
	return cmd
}

func newWebhooksList(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "list TENANT",
		Short: "List a tenant's webhooks",
		Args:  cobra.ExactArgs(1),
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, args []string) error {
			hooks := []client.Webhook{}
			for h, err := range c.Webhooks(cmd.Context(), args[0]) {
				if err != nil {
					return err
				}
				hooks = append(hooks, h)
			}
			return o.print(cmd.OutOrStdout(), hooks, func() error { return printWebhooks(cmd.OutOrStdout(), hooks) })
		}),
	}
}

func printWebhooks(out io.Writer, hooks []client.Webhook) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSTATUS\tURL\tEVENTS")
	for _, h := range hooks {
		events := strings.Join(h.Events, ",")
		if events == "" {
			events = "all"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", h.ID, h.Status, h.URL, events)
	}
	return w.Flush()
}

func newWebhooksDeliveries(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "deliveries TENANT WEBHOOK",
		Short: "List the calls of a webhook in the last 30 days, the newest first",
		Args:  cobra.ExactArgs(2),
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, args []string) error {
			deliveries := []client.Delivery{}
			for d, err := range c.Deliveries(cmd.Context(), args[0], args[1]) {
				if err != nil {
					return err
				}
				deliveries = append(deliveries, d)
			}
			return o.print(cmd.OutOrStdout(), deliveries, func() error { return printDeliveries(cmd.OutOrStdout(), deliveries) })
		}),
	}
}

func printDeliveries(out io.Writer, deliveries []client.Delivery) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TIME\tID\tEVENT\tSTATE\tFAILURES\tLAST ANSWER")
	for _, d := range deliveries {
		answer := "-"
		switch {
		case d.Error != "":
			answer = d.Error
		case d.Status != 0:
			answer = fmt.Sprint(d.Status)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", stamp(d.CreatedAt), d.ID, d.EventType, d.State, d.Failures, answer)
	}
	return w.Flush()
}

func newWebhooksRedeliver(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "redeliver TENANT WEBHOOK DELIVERY",
		Short: "Make a call again",
		Args:  cobra.ExactArgs(3),
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, args []string) error {
			if err := c.Redeliver(cmd.Context(), args[0], args[1], args[2]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is made again\n", args[2])
			return err
		}),
	}
}

// webhookCall is a call about one webhook that answers nothing of interest.
type webhookCall func(c *client.Client, ctx context.Context, tenant, webhook string, opts ...client.Option) error

func newWebhookCall(o *options, use, short, done string, call webhookCall) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(2),
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, args []string) error {
			if err := call(c, cmd.Context(), args[0], args[1]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", args[1], done)
			return err
		}),
	}
}
