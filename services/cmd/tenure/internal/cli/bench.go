package cli

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"slices"

	"github.com/spf13/cobra"

	"tenure/services/cmd/tenure/internal/bench"
	"tenure/services/export"
	"tenure/shared/runner"
)

// sections of the benchmark, in the order in which they run.
var sections = []struct {
	name string
	run  func(context.Context, bench.Options) error
}{
	{"pipeline", bench.Pipeline},
	{"money", bench.Money},
	{"access", bench.Access},
	{"export", bench.Export},
	{"erase", bench.Erase},
}

func newBench() *cobra.Command {
	var o bench.Options
	var profile string
	cmd := &cobra.Command{
		Use:       "bench [pipeline] [money] [access] [export] [erase]",
		Short:     "Measure the pipeline beside what this machine can do, what happens around a payment, what a plan change interrupts, exports, and erasures",
		Args:      cobra.OnlyValidArgs,
		ValidArgs: []string{"pipeline", "money", "access", "export", "erase"},
		RunE: func(cmd *cobra.Command, chosen []string) error {
			o.Out = cmd.OutOrStdout()
			if profile == "" {
				return runBench(cmd.Context(), o, chosen)
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
			return runBench(cmd.Context(), o, chosen)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&o.Tenants, "tenants", 10_000, "tenants that take turns")
	flags.IntVar(&o.Commands, "commands", 200_000, "commands sent at saturation")
	flags.Float64Var(&o.MoveGB, "move-gb", 1, "data that the plan changes under load move, in GB; 1 takes some minutes")
	flags.Float64Var(&o.ExportGB, "gb", 1, "data of the larger of two exports, in GB; twice as much is needed on the disk")
	flags.StringVar(&profile, "cpuprofile", "", "write a CPU profile to this file (go tool pprof)")
	flags.BoolVar(&o.SyncAlways, "sync-always", false, "let JetStream sync every write: safe from power loss")
	cmd.AddCommand(newExporter())
	return cmd
}

// newExporter is the export service by itself, as cmd/export runs it, for the benchmark that starts this program again.
func newExporter() *cobra.Command {
	return &cobra.Command{Use: "exporter", Hidden: true, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		debug.SetGCPercent(export.GCPercent)
		return runner.Run(cmd.Context(), runner.OSEnviron(), nil, runner.Named{Name: "export", New: export.New})
	}}
}

// runBench runs the chosen sections, or all when none is chosen.
func runBench(ctx context.Context, o bench.Options, chosen []string) error {
	for _, s := range sections {
		if len(chosen) > 0 && !slices.Contains(chosen, s.name) {
			continue
		}
		if err := s.run(ctx, o); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}
