// Package bench measures the pipeline end to end (a command published on JetStream -> decided -> in the log -> its event
// received) beside what the machine itself can do in the same run, what happens around a payment, and what a tenant notices
// of a plan change. Absolute figures move between machines: quote the ratios.
package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"tenure/services/devstack"
	"tenure/services/lifecycle"
	"tenure/shared/runner"
)

// Options of a run.
type Options struct {
	// Tenants is how many take turns in the pipeline; Commands how many are sent at saturation.
	Tenants, Commands int
	// SyncAlways makes the pipeline's JetStream sync each write: safe from power loss.
	SyncAlways bool
	// MoveGB is how much data the plan changes under load move, in GB.
	MoveGB float64
	// ExportGB is how much data the larger of the two measured exports has, in GB.
	ExportGB float64
	Out      io.Writer
}

// Pipeline measures on servers of its own in a temporary directory.
func Pipeline(ctx context.Context, o Options) error {
	dir, err := os.MkdirTemp("", "tenure-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	say(o.Out, "Starting PostgreSQL (fsync on), NATS JetStream and the lifecycle service...")
	stack, err := devstack.Start(ctx, devstack.Config{
		Dir: dir, HTTPAddr: "127.0.0.1:0", NATSAddr: "127.0.0.1:0", StripeAddr: "127.0.0.1:0", SyncAlways: o.SyncAlways, Log: slog.Default(),
	})
	if err != nil {
		return err
	}
	defer stack.Stop()

	limits, err := measureMachine(ctx, dir, stack.Env())
	if err != nil {
		return err
	}
	limits.print(o.Out)

	ctx, stop := context.WithCancel(ctx)
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- runner.Run(ctx, runner.Environ(stack.Env()), func() { close(ready) }, runner.Named{Name: lifecycle.Schema, New: lifecycle.New})
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			say(o.Out, "the lifecycle service ended with %v", err)
		}
	}()
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		return fmt.Errorf("the lifecycle service did not start: %w", err)
	}
	return measurePipeline(ctx, o, stack.Env(), limits)
}

func measurePipeline(ctx context.Context, o Options, env map[string]string, limits machine) error {
	p, err := newPipeline(ctx, env["NATS_URL"])
	if err != nil {
		return err
	}
	defer p.close()
	say(o.Out, "Signing %d tenants up...", o.Tenants)
	if err := p.signUp(ctx, o.Tenants); err != nil {
		return err
	}
	say(o.Out, "")
	say(o.Out, "Pipeline: command published -> decided -> logged -> event received")
	for _, rate := range []int{10, 1000} {
		r, err := p.paced(ctx, rate, 5*time.Second)
		if err != nil {
			return err
		}
		say(o.Out, "  at %5d/s      %s", rate, r.took)
	}
	best := result{}
	for range 3 {
		r, err := p.saturate(ctx, o.Commands)
		if err != nil {
			return err
		}
		say(o.Out, "  saturated     %7.0f commands/s = %.0f transitions/s   p50 %8s   p99 %8s", r.commands, r.changes, ms(r.took.at(0.5)), ms(r.took.at(0.99)))
		if r.changes > best.changes {
			best = r
		}
	}
	say(o.Out, "")
	say(o.Out, "Best: %.0f transitions/s (active -> suspended, suspended -> reactivating -> active) = %.2f of this machine's", best.changes, best.changes/limits.commits)
	say(o.Out, "single-row commits, %.2f of its async JetStream publishes", best.changes/limits.publishes)
	return nil
}

func say(w io.Writer, format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

// latencies are how long things took, each.
type latencies []time.Duration

// at is the time below which the share q of them lies.
func (l latencies) at(q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(l))
	return sorted[int(q*float64(len(sorted)-1))]
}

func (l latencies) String() string {
	return fmt.Sprintf("p50 %8s   p95 %8s   p99 %8s   max %8s", ms(l.at(0.5)), ms(l.at(0.95)), ms(l.at(0.99)), ms(l.at(1)))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond)) }
