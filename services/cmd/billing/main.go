// Command billing runs the billing service.
package main

import (
	"os"

	"tenure/services/billing"
	"tenure/shared/runner"
)

func main() { os.Exit(runner.Main("billing", billing.New)) }
