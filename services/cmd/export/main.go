// Command export runs the export service alone.
package main

import (
	"os"

	"tenure/services/export"
	"tenure/shared/runner"
)

func main() { os.Exit(runner.Main("export", export.New)) }
