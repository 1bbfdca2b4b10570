package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"tenure/services/devstack/natsserver"
	"tenure/shared/bus"
	"tenure/shared/participant/conformance"
)

func newParticipant() *cobra.Command {
	cmd := &cobra.Command{Use: "participant", Short: "Check a system that takes part in tenants' steps"}
	cmd.AddCommand(newParticipantCheck())
	return cmd
}

func newParticipantCheck() *cobra.Command {
	p := conformance.Participant{}
	cmd := &cobra.Command{
		Use:   "check --name NAME -- PROGRAM [ARGUMENT...]",
		Short: "Run a participant on a bus of its own and check how it answers",
		Long: "Runs PROGRAM with NATS_URL, TENURE_URL and TENURE_TOKEN in its environment, on a private NATS and without the rest of\n" +
			"Tenure, asks it for steps as the lifecycle service would, kills it once, and says what is wrong with its answers.\n" +
			"It sees answers, not stores: point PROGRAM at a store that may be written to. The exit code is 0 only if all is well.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p.Start = conformance.Command(cmd.ErrOrStderr(), args[0], args[1:]...)
			return checkParticipant(cmd, p)
		},
	}
	cmd.Flags().StringVar(&p.Name, "name", "", "the participant's name")
	cmd.Flags().StringSliceVar(&p.Actions, "actions", nil, "what it does (default: what it registers with PUT $TENURE_URL/v1/participants/NAME)")
	cmd.Flags().DurationVar(&p.Patience, "patience", 0, "how long an answer may take (default 20s)")
	_ = cmd.MarkFlagRequired("name")
	return cmd
}

func checkParticipant(cmd *cobra.Command, p conformance.Participant) error {
	ctx := cmd.Context()
	b, url, stop, err := privateBus(ctx)
	if err != nil {
		return err
	}
	defer stop()
	results, err := conformance.Check(ctx, b, url, p)
	if err != nil {
		return err
	}
	failed := 0
	for _, r := range results {
		if r.Err != nil {
			failed++
			fmt.Fprintf(cmd.OutOrStdout(), "fail  %s: %v\n", r.Check, r.Err)
			continue
		}
		fmt.Fprintf(cmd.OutOrStdout(), "ok    %s\n", r.Check)
	}
	if failed > 0 {
		return fmt.Errorf("%s fails %d of %d checks", p.Name, failed, len(results))
	}
	return nil
}

// privateBus runs a NATS server of its own in a temporary directory, for as long as the command takes.
func privateBus(ctx context.Context) (b *bus.Bus, url string, stop func(), err error) {
	dir, err := os.MkdirTemp("", "tenure-participant-*")
	if err != nil {
		return nil, "", nil, err
	}
	remove := func() { _ = os.RemoveAll(dir) }
	server, err := natsserver.Start(ctx, natsserver.Config{
		Dir: dir, Host: "127.0.0.1", Port: -1, User: "participant", Password: rand.Text(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		remove()
		return nil, "", nil, err
	}
	b, err = bus.Connect(ctx, bus.Config{URL: server.URL(), Name: "tenure participant check"})
	if err != nil {
		server.Stop()
		remove()
		return nil, "", nil, err
	}
	return b, server.URL(), func() { b.Close(); server.Stop(); remove() }, nil
}
