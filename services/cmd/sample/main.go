// Command sample runs the sample SaaS, for development.
package main

import (
	"os"

	"tenure/services/sample"
	"tenure/shared/runner"
)

func main() { os.Exit(runner.Main("sample", sample.New)) }
