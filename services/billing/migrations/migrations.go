// Package migrations holds the tables of the billing service.
package migrations

import "embed"

// Files are goose migrations.
//
//go:embed *.sql
var Files embed.FS
