package cli

import (
	"github.com/spf13/cobra"

	"tenure/services/cmd/tenure/internal/demo"
	"tenure/services/cmd/tenure/internal/dev"
)

func newDev(o *options) *cobra.Command {
	opts := dev.Options{}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run all services on real, embedded parts; state lives in --dir",
		Long: "Run all services in one process, on an embedded NATS JetStream, a private PostgreSQL, an S3 server, a mailbox and a\n" +
			"Stripe simulator. State lives in --dir and survives a restart or kill -9. DIR/dev.json tells the addresses once all\n" +
			"is ready. Settings of the services are taken from the environment, see the README.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.Dir, opts.Out = o.dir, cmd.OutOrStdout()
			return dev.Run(cmd.Context(), opts)
		},
	}
	addressFlags(cmd, &opts)
	cmd.Flags().BoolVarP(&opts.Quiet, "quiet", "q", false, "print warnings alone")
	return cmd
}

func newDemo(o *options) *cobra.Command {
	var (
		opts dev.Options
		exit bool
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run tenure dev, and drive one tenant through its whole life on screen",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.Dir, opts.Out = o.dir, cmd.OutOrStdout()
			return demo.Run(cmd.Context(), opts, exit)
		},
	}
	addressFlags(cmd, &opts)
	cmd.Flags().BoolVar(&exit, "exit", false, "end after the walk; the exit code is 0 only if every step came out as expected")
	return cmd
}

func addressFlags(cmd *cobra.Command, opts *dev.Options) {
	f := cmd.Flags()
	f.StringVar(&opts.HTTP, "http", "127.0.0.1:8080", "address of the API")
	f.StringVar(&opts.NATS, "nats", "127.0.0.1:4222", "address of NATS")
	f.StringVar(&opts.Stripe, "stripe", "127.0.0.1:12111", "address of the Stripe simulator")
}
