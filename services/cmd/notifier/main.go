// Command notifier tells people and tenants' systems what happens to their tenants, and wins tenants back.
package main

import (
	"os"
	_ "time/tzdata" // campaigns have quiet hours in tenants' time zones, and the image has no zones of its own

	"tenure/services/notifier"
	"tenure/shared/runner"
)

func main() { os.Exit(runner.Main("notifier", notifier.New)) }
