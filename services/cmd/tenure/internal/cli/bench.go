package cli

import (
	"github.com/spf13/cobra"

	"tenure/services/cmd/tenure/internal/bench"
)

func newBench() *cobra.Command {
	var o bench.Options
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure the pipeline beside what this machine can do",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out = cmd.OutOrStdout()
			return bench.Run(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&o.Tenants, "tenants", 10_000, "tenants that take turns")
	flags.IntVar(&o.Commands, "commands", 200_000, "commands sent at saturation")
	flags.BoolVar(&o.SyncAlways, "sync-always", false, "let JetStream sync every write: safe from power loss")
	return cmd
}
