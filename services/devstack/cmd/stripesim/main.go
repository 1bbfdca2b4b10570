// Command stripesim runs the Stripe simulator by itself.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"tenure/services/devstack/stripesim"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "stripesim:", err)
		os.Exit(1)
	}
}

func run() error {
	cfg := stripesim.Config{
		// The customary names; a flag would show the secrets to every user of the machine.
		APIKey:         os.Getenv("STRIPE_API_KEY"),
		WebhookSecrets: os.Getenv("STRIPE_WEBHOOK_SECRET"),
		Log:            slog.Default(),
	}
	flag.StringVar(&cfg.Dir, "dir", ".tenure/stripe", "directory of all state")
	flag.StringVar(&cfg.Addr, "addr", "127.0.0.1:12111", "address to serve")
	flag.StringVar(&cfg.WebhookURL, "webhook-url", "", "where events are posted; none: they wait")
	flag.Uint64Var(&cfg.Shuffle, "shuffle", 0, "seed of the disorder in which events are posted; 0: as they happen")
	flag.StringVar(&cfg.AfterRetries, "after-retries", "unpaid",
		"what becomes of a subscription after the last failed payment: unpaid, past_due or canceled")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server, err := stripesim.Open(ctx, cfg)
	if err != nil {
		return err
	}
	cfg.Log.Info("the Stripe simulator is ready", "address", server.Addr())
	if err := server.Run(ctx); err != nil {
		return err
	}
	return server.Close()
}
