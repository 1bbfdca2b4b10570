package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tenure/schemas"
)

func TestSchemasAreCurrent(t *testing.T) {
	want, err := generate()
	require.NoError(t, err)
	for path, content := range want {
		got, err := schemas.FS.ReadFile(path)
		require.NoError(t, err, "run go generate ./... in tenure/shared")
		require.Equal(t, string(content), string(got), "%s is stale: run go generate ./... in tenure/shared", path)
	}
}
