package verify_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"tenure/services/deletion/internal/certificate"
	"tenure/services/deletion/internal/roots"
	"tenure/services/deletion/verify"
)

// rooted is a signed root over heads, with its leaves.
func rooted(t *testing.T, date string, previous *roots.Previous, heads ...verify.Head) (document, leaves []byte) {
	t.Helper()
	var file bytes.Buffer
	var all iter.Seq2[verify.Head, error] = func(yield func(verify.Head, error) bool) {
		for _, h := range heads {
			if !yield(h, nil) {
				return
			}
		}
	}
	summary, err := roots.Write(&file, all)
	require.NoError(t, err)
	signer, err := certificate.ParseSigner(base64.StdEncoding.EncodeToString(make([]byte, 32)))
	require.NoError(t, err)
	document, err = signer.Sign(roots.Root{Format: roots.Format, Date: date, Summary: summary, Leaves: roots.LeavesKey(date), Previous: previous})
	require.NoError(t, err)
	return document, file.Bytes()
}

func TestARootVouchesForItsOwnLeavesAlone(t *testing.T) {
	heads := []verify.Head{{Tenant: "acme", Version: 3, Hash: "ab"}, {Tenant: "globex", Version: 1, Hash: "cd"}}
	document, leaves := rooted(t, "2026-01-31", nil, heads...)
	_, fewer := rooted(t, "2026-01-31", nil, heads[0])
	root, err := verify.LogRoot(document)
	require.NoError(t, err)
	require.EqualValues(t, 2, root.Tenants)
	require.EqualValues(t, 4, root.Events)
	require.False(t, root.Trusted)

	var got []verify.Head
	require.NoError(t, root.Heads(bytes.NewReader(leaves), func(h verify.Head) error { got = append(got, h); return nil }))
	require.Equal(t, heads, got)
	require.ErrorIs(t, root.Heads(bytes.NewReader(fewer), func(verify.Head) error { return nil }), verify.ErrInvalidRoot)
	require.ErrorIs(t, root.Heads(bytes.NewReader(leaves[:9]), func(verify.Head) error { return nil }), verify.ErrInvalidRoot)
	mine := errors.New("mine")
	require.Equal(t, mine, root.Heads(bytes.NewReader(leaves), func(verify.Head) error { return mine }))
}

func TestAChangedRootIsNone(t *testing.T) {
	document, _ := rooted(t, "2026-01-31", nil)
	_, err := verify.LogRoot(bytes.Replace(document, []byte(`"tenants": 0`), []byte(`"tenants": 1`), 1))
	require.ErrorIs(t, err, verify.ErrInvalidRoot)
	_, err = verify.LogRoot(document, make([]byte, 32))
	require.ErrorIs(t, err, verify.ErrInvalidRoot)
}
