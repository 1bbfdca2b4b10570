// Command deletion runs the deletion service.
package main

import (
	"os"

	"tenure/services/deletion"
	"tenure/shared/runner"
)

func main() { os.Exit(runner.Main("deletion", deletion.New)) }
