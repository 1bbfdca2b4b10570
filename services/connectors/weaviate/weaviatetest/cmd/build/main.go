// Command build makes the Weaviate server that tests start, where the user's cache has none, so that no test's time goes by
// with it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"tenure/services/connectors/weaviate/weaviatetest"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if _, err := weaviatetest.Binary(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
