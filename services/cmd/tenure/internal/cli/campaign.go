package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tenure/services/notifier/campaigns"
	"tenure/shared/client"
	"tenure/shared/events"
	"tenure/shared/plans/planfile"
)

func newCampaign(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "campaign", Short: "Look after the campaigns that win tenants back"}
	cmd.AddCommand(newCampaignSimulate(o))
	return cmd
}

func newCampaignSimulate(o *options) *cobra.Command {
	var (
		fromLog, sends bool
		plansFile      string
		day            time.Duration
	)
	cmd := &cobra.Command{
		Use:   "simulate FILE --from-log",
		Short: "Show what a campaign file would have sent",
		Long: "Play a campaign file over the events of the live log: the same decisions that the notifier makes, without sending\n" +
			"anything. Nobody counts as having opened a mail or followed a link.",
		Args: cobra.ExactArgs(1),
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, args []string) error {
			if !fromLog {
				return errors.New("say which events to play: --from-log reads them from the live log")
			}
			content, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			offer, err := planfile.Load(plansFile)
			if err != nil {
				return err
			}
			log, err := wholeLog(cmd, c)
			if err != nil {
				return err
			}
			decisions, err := campaigns.Simulate(content, log, offer.Plans, day, time.Now())
			if err != nil {
				return fmt.Errorf("%s:\n%w", args[0], err)
			}
			return o.print(cmd.OutOrStdout(), decisions, func() error {
				return printDecisions(cmd.OutOrStdout(), decisions, len(log), sends)
			})
		}),
	}
	cmd.Flags().BoolVar(&fromLog, "from-log", false, "play the events of the live log")
	cmd.Flags().BoolVar(&sends, "sends", false, "list each mail that would have been sent")
	cmd.Flags().StringVar(&plansFile, "plans", os.Getenv("TENURE_PLANS"), "the plan file, to know what is free")
	cmd.Flags().DurationVar(&day, "day", 24*time.Hour, "how long a day of the file is")
	return cmd
}

// wholeLog reads the lifecycle's events.
func wholeLog(cmd *cobra.Command, c *client.Client) (log []events.Event, err error) {
	for e, err := range c.Events(cmd.Context(), client.EventFilter{}) {
		if err != nil {
			return nil, err
		}
		log = append(log, events.Event{
			ID: e.ID, Type: e.Type, Subject: e.Tenant, Time: e.Time, Sequence: e.Version, Actor: e.Actor, Data: e.Data,
		})
	}
	return log, nil
}

func printDecisions(out io.Writer, decisions []campaigns.Decision, events int, sends bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "played %d events\n", events)
	if sends {
		fmt.Fprintln(w, "TIME\tTENANT\tCAMPAIGN\tSTEP\tVARIANT\tOFFER")
		for _, d := range decisions {
			if d.Action == "send" {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", stamp(d.At), d.Tenant, d.Campaign, d.Step, d.Variant, d.Offer)
			}
		}
	}
	fmt.Fprintln(w, "CAMPAIGN\tACTION\tWHAT\tCOUNT")
	for _, l := range campaigns.Sum(decisions) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", l.Campaign, l.Action, l.What, l.Count)
	}
	return w.Flush()
}
