// Package demo drives one tenant through its whole life on a running Tenure, and checks every step of it.
package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tenure/services/cmd/tenure/internal/dev"
	"tenure/services/devstack"
)

// stepLimit is far above what a step takes: a step that waits longer waits for something that will not come.
const stepLimit = 40 * time.Second

// settings shorten what takes days in a real life. A "day" is a second: the retention of 30 days is half a minute.
var settings = map[string]string{
	"TENURE_RETENTION_UNIT": "1s",
	"TENURE_DUNNING_GRACE":  "1s",
}

// Run starts `tenure dev` in this process and walks through a tenant's life. With exit it then ends, and the error is nil
// only if every step came out as expected; without, it goes on running until ctx ends.
func Run(ctx context.Context, opts dev.Options, exit bool) error {
	logs, err := redirectLogs(opts.Dir)
	if err != nil {
		return err
	}
	defer logs()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready := make(chan devstack.Addresses, 1)
	opts.Settings = settings
	opts.Ready = func(a devstack.Addresses) { ready <- a }
	ended := make(chan error, 1)
	go func() { ended <- dev.Run(ctx, opts) }()

	var addresses devstack.Addresses
	select {
	case err := <-ended:
		return err
	case addresses = <-ready:
	}
	walkErr := Walk(ctx, opts.Out, addresses)
	if exit || ctx.Err() != nil {
		cancel()
		return errors.Join(walkErr, <-ended)
	}
	if walkErr != nil {
		fmt.Fprintf(opts.Out, "\nthe walk failed: %v\nthe logs are in %s\n", walkErr, filepath.Join(opts.Dir, "demo.log"))
	}
	fmt.Fprintln(opts.Out)
	dev.PrintAddresses(opts.Out, opts.Dir, addresses)
	fmt.Fprintf(opts.Out, "\nit goes on running; Ctrl-C ends it. A \"day\" is a second here: tenure dev has real ones.\n")
	return <-ended
}

// redirectLogs turns standard error to a file, for the services' logs would hide the walk. Call what it returns when
// nothing logs any more.
func redirectLogs(dir string) (restore func(), err error) {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, err
	}
	file, err := os.Create(filepath.Join(dir, "demo.log"))
	if err != nil {
		return nil, err
	}
	stderr := os.Stderr
	os.Stderr = file
	return func() {
		os.Stderr = stderr
		_ = file.Close() // nobody waits for the last line of a log
	}, nil
}

// Walk takes a new tenant through its life, with one line for each step, and returns an error at the first one that does
// not come out as expected.
func Walk(ctx context.Context, out io.Writer, a devstack.Addresses) error {
	w := newWalk(a, "demo-"+strings.ToLower(rand.Text()[:6]))
	defer w.close()
	fmt.Fprintf(out, "\nthe life of %s\n\n", w.tenant)
	began := time.Now()
	for _, s := range w.steps() {
		detail, err := s.run(ctx)
		mark, state := "ok", w.state(ctx)
		if err != nil {
			mark, detail = "FAILED", err.Error()
		}
		fmt.Fprintf(out, "%6.2fs  %-6s  %-26s %-12s %s\n", time.Since(began).Seconds(), mark, s.name, state, detail)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// step is one line of the walk. What it returns is what there is to tell.
type step struct {
	name string
	do   func(ctx context.Context) (string, error)
}

func (s step) run(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, stepLimit, fmt.Errorf("it took more than %s", stepLimit))
	defer cancel()
	detail, err := s.do(ctx)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return detail, err
}
