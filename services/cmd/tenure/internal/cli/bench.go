package cli

import (
	"os"
	"runtime/pprof"

	"github.com/spf13/cobra"

	"tenure/services/cmd/tenure/internal/bench"
)

func newBench() *cobra.Command {
	var o bench.Options
	var profile string
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure the pipeline beside what this machine can do",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out = cmd.OutOrStdout()
			if profile == "" {
				return bench.Run(cmd.Context(), o)
			}
			f, err := os.Create(profile)
			if err != nil {
				return err
			}
			defer f.Close()
			if err := pprof.StartCPUProfile(f); err != nil {
				return err
			}
			defer pprof.StopCPUProfile()
			return bench.Run(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&o.Tenants, "tenants", 10_000, "tenants that take turns")
	flags.IntVar(&o.Commands, "commands", 200_000, "commands sent at saturation")
	flags.StringVar(&profile, "cpuprofile", "", "write a CPU profile to this file (go tool pprof)")
	flags.BoolVar(&o.SyncAlways, "sync-always", false, "let JetStream sync every write: safe from power loss")
	return cmd
}
