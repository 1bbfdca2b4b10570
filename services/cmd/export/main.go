// Command export runs the export service alone.
package main

import (
	"os"
	"runtime/debug"

	"tenure/services/export"
	"tenure/shared/runner"
)

func main() {
	debug.SetGCPercent(export.GCPercent)
	os.Exit(runner.Main("export", export.New))
}
