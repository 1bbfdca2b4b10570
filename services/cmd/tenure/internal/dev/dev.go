// Package dev runs a whole Tenure in one process: the services as production runs them, on the parts of devstack.
package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
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
	// Ready, if not nil, is called with the addresses once all is ready, instead of printing them.
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
//
// It changes the process's working directory (see devstack.Start), and as long as it runs nothing but opts.Out reaches
// standard output.
func Run(ctx context.Context, opts Options) error {
	environ, err := environment()
	if err != nil {
		return err
	}
	unmute, err := muteStdout()
	if err != nil {
		return err
	}
	defer unmute()
	began := time.Now()
	opts.say("starting NATS, PostgreSQL, S3, the mailbox and the Stripe simulator in %s ...", opts.Dir)
	stack, err := devstack.Start(ctx, devstack.Config{
		Dir:            opts.Dir,
		HTTPAddr:       opts.HTTP,
		NATSAddr:       opts.NATS,
		StripeAddr:     opts.Stripe,
		WebhookSecrets: environ["STRIPE_WEBHOOK_SECRET"],
		Log:            slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	defer stack.Stop()
	opts.say("the parts are ready after %s; starting the services ...", since(began))
	if err := connect(environ, stack, opts); err != nil {
		return err
	}
	return serve(ctx, stack, environ, func() error {
		if err := stack.Announce(ctx); err != nil {
			return err
		}
		opts.say("all is ready after %s", since(began))
		if opts.Ready != nil {
			opts.Ready(stack.Addresses())
		} else if !opts.Quiet {
			PrintAddresses(opts.Out, opts.Dir, stack.Addresses())
		}
		return nil
	})
}

// serve runs the services until ctx ends, or a part does.
func serve(ctx context.Context, stack *devstack.Stack, environ runner.Environ, ready func() error) error {
	interrupted := ctx.Done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-stack.Failed():
			cancel(err)
		case <-ctx.Done():
		}
	}()
	err := runner.Run(ctx, environ, func() {
		if err := ready(); err != nil {
			cancel(err)
		}
	}, services()...)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return errors.Join(cause, err)
	}
	select {
	case <-interrupted:
		// Whoever interrupts a start gets what he wants, not an error.
		if errors.Is(err, context.Canceled) {
			return nil
		}
	default:
	}
	return err
}

// muteStdout keeps away what the S3 library prints to standard output on its own account.
func muteStdout() (unmute func(), err error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	stdout := os.Stdout
	os.Stdout = null
	return func() {
		os.Stdout = stdout
		_ = null.Close()
	}, nil
}

func (o Options) say(format string, args ...any) {
	if !o.Quiet {
		fmt.Fprintf(o.Out, format+"\n", args...)
	}
}

func since(t time.Time) time.Duration { return time.Since(t).Round(10 * time.Millisecond) }
