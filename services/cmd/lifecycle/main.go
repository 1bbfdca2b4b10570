// Command lifecycle runs the lifecycle service.
package main

import (
	"os"

	"tenure/services/lifecycle"
	"tenure/shared/runner"
)

func main() { os.Exit(runner.Main(lifecycle.Schema, lifecycle.New)) }
