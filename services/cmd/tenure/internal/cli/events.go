package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"tenure/shared/client"
	"tenure/shared/events"
)

func newEvents(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "events", Short: "Read the audit log"}
	cmd.AddCommand(newEventsTail(o))
	return cmd
}

func newEventsTail(o *options) *cobra.Command {
	var filter client.EventFilter
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print the audit log, and go on with what happens until interrupted",
		Args:  cobra.NoArgs,
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			for e, err := range c.Tail(cmd.Context(), filter) {
				if errors.Is(err, context.Canceled) {
					return nil // the user has seen enough
				}
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
	cmd.Flags().StringVar(&filter.Tenant, "tenant", "", "only those of this tenant")
	cmd.Flags().StringVar(&filter.Type, "type", "", "only those of this type")
	return cmd
}

// printEvent prints one line, of JSON or for people.
func (o *options) printEvent(out io.Writer, e client.LogEvent) error {
	if o.asJSON {
		return json.NewEncoder(out).Encode(e)
	}
	_, err := fmt.Fprintln(out, eventLine(e))
	return err
}

func eventLine(e client.LogEvent) string {
	service, name := events.SplitType(e.Type)
	if service != "lifecycle" {
		name = service + "." + name
	}
	state := e.To
	if e.From != e.To {
		state = strings.TrimPrefix(e.From+" -> "+e.To, " -> ")
	}
	line := fmt.Sprintf("%s  %-12s %4d  %-24s %-28s %s", e.Time.UTC().Format("2006-01-02 15:04:05.000"), e.Tenant, e.Version, name, state, e.Actor)
	if e.Reason != "" {
		line += "  " + e.Reason
	}
	return strings.TrimRight(line, " ")
}
