// Command notifier mails people what happens to their tenants.
package main

import (
	"os"

	"tenure/services/notifier"
	"tenure/shared/runner"
)

func main() { os.Exit(runner.Main("notifier", notifier.New)) }
