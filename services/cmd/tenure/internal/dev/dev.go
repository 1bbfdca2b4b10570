// Package dev runs a whole Tenure in one process: the services as production runs them, on the parts of devstack.
package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"strings"
	"time"

	"tenure/services/billing"
	"tenure/services/deletion"
	"tenure/services/devstack"
	"tenure/services/export"
	"tenure/services/lifecycle"
	"tenure/services/notifier"
	"tenure/services/sample"
	"tenure/shared/runner"
)

// Options of a run.
type Options struct {
	// Dir holds all state.
	Dir string
	// HTTP, NATS and Stripe are host:port.
	HTTP, NATS, Stripe string
	// Quiet leaves out everything but warnings.
	Quiet bool
	// Out takes what people read; logs go to standard error.
	Out io.Writer
	// Settings are set for the services above the environment.
	Settings map[string]string
	// Ready, if not nil, is called with the addresses once all is ready.
	Ready func(devstack.Addresses)
}

// services are those of production, and the sample SaaS.
func services() []runner.Named {
	return []runner.Named{
		{Name: "lifecycle", New: lifecycle.New},
		{Name: "billing", New: billing.New},
		{Name: "export", New: export.New},
		{Name: "deletion", New: deletion.New},
		{Name: "notifier", New: notifier.New},
		{Name: "sample", New: sample.New},
		{Name: "index", New: newIndex},
	}
}

// Run works until ctx ends, then drains the services and stops the parts. It returns an error when something could not
// start, or ended by itself.
func Run(ctx context.Context, opts Options) error {
	environ, err := environment()
	if err != nil {
		return err
	}
	say := func(format string, args ...any) {
		if !opts.Quiet {
			fmt.Fprintf(opts.Out, format+"\n", args...)
		}
	}

	began := time.Now()
	say("starting NATS, PostgreSQL, S3, the mailbox and the Stripe simulator in %s ...", opts.Dir)
	stack, err := devstack.Start(ctx, devstack.Config{
		Dir:            opts.Dir,
		HTTPAddr:       opts.HTTP,
		NATSAddr:       opts.NATS,
		StripeAddr:     opts.Stripe,
		WebhookSecrets: environ["STRIPE_WEBHOOK_SECRET"],
		SyncAlways:     environ["TENURE_DEV_SYNC_ALWAYS"] == "true",
		Log:            slog.Default(),
	})
	if err != nil {
		return err
	}
	defer stack.Stop()
	say("the parts are ready after %s; starting the services ...", since(began))

	maps.Copy(environ, stack.Env())
	maps.Copy(environ, opts.Settings)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-stack.Failed():
			cancel(err)
		case <-ctx.Done():
		}
	}()
	err = runner.Run(ctx, environ, func() {
		if err := stack.Announce(); err != nil {
			cancel(err)
			return
		}
		say("all is ready after %s", since(began))
		if !opts.Quiet {
			PrintAddresses(opts.Out, opts.Dir, stack.Addresses())
		}
		if opts.Ready != nil {
			opts.Ready(stack.Addresses())
		}
	}, services()...)
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return err
}

// environment is the process's, with secret files already read: their paths may be relative, and the S3 server will
// change the working directory.
func environment() (runner.Environ, error) {
	environ := runner.OSEnviron()
	if err := environ.ReadSecretFiles(); err != nil {
		return nil, err
	}
	maps.DeleteFunc(environ, func(key, _ string) bool {
		name, isFile := strings.CutSuffix(key, "_FILE")
		_, read := environ[name]
		return isFile && read
	})
	return environ, nil
}

func since(t time.Time) time.Duration { return time.Since(t).Round(10 * time.Millisecond) }
