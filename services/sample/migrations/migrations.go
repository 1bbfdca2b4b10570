// Package migrations holds the sample's own tables, as goose reads them.
package migrations

import "embed"

// Files are the migrations, in the order of their names.
//
//go:embed *.sql
var Files embed.FS
