package blob_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"tenure/services/connectors/s3"
	"tenure/services/connectors/s3/s3test"
	"tenure/services/deletion/internal/blob"
)

func TestALockedRootOutlastsItsDeletion(t *testing.T) {
	client, err := s3.NewClient(t.Context(), s3test.Settings(t))
	require.NoError(t, err)
	name, yes := "locked-"+strings.ToLower(rand.Text()), true
	_, err = client.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &name, ObjectLockEnabledForBucket: &yes})
	require.NoError(t, err)
	store := blob.New(client, name)
	locks, err := store.Locks(t.Context())
	require.NoError(t, err)
	require.True(t, locks)

	key, until := "roots/2026-01-31.json", time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	require.NoError(t, store.Upload(t.Context(), key, "application/json", strings.NewReader("signed"), &until))
	written, err := client.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: &name, Key: &key})
	require.NoError(t, err)
	require.Equal(t, types.ObjectLockModeCompliance, written.ObjectLockMode)
	require.True(t, until.Equal(*written.ObjectLockRetainUntilDate), "locked until %v", written.ObjectLockRetainUntilDate)
	_, err = client.DeleteObject(t.Context(), &awss3.DeleteObjectInput{
		Bucket: &name, Key: &key, VersionId: written.VersionId, BypassGovernanceRetention: &yes,
	})
	require.Error(t, err, "who may delete everything deleted it")
	body, err := client.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: &name, Key: &key, VersionId: written.VersionId})
	require.NoError(t, err)
	defer body.Body.Close()
	content, err := io.ReadAll(body.Body)
	require.NoError(t, err)
	require.Equal(t, "signed", string(content))
}

func TestABucketWithoutLocksTakesRootsAllTheSame(t *testing.T) {
	client, name := s3test.Bucket(t)
	store := blob.New(client, name)
	locks, err := store.Locks(t.Context())
	require.NoError(t, err)
	require.False(t, locks)

	big := make([]byte, 11<<20) // more than one part
	_, _ = rand.Read(big)       // never fails
	require.NoError(t, store.Upload(t.Context(), "roots/2.ndjson.gz", "application/gzip", bytes.NewReader(big), nil))
	require.NoError(t, store.Upload(t.Context(), "roots/1.json", "application/json", strings.NewReader("signed"), nil))
	require.NoError(t, store.Upload(t.Context(), "other/3", "text/plain", strings.NewReader("x"), nil))
	body, err := store.Open(t.Context(), "roots/2.ndjson.gz")
	require.NoError(t, err)
	defer body.Close()
	read, err := io.ReadAll(body)
	require.NoError(t, err)
	require.True(t, bytes.Equal(big, read))

	for after, want := range map[string][]string{"": {"roots/1.json", "roots/2.ndjson.gz"}, "roots/1.json": {"roots/2.ndjson.gz"}, "roots/9": nil} {
		var keys []string
		for key, err := range store.Keys(t.Context(), "roots/", after) {
			require.NoError(t, err)
			keys = append(keys, key)
		}
		require.True(t, slices.Equal(want, keys), "after %q: %v", after, keys)
	}

	broken := errors.New("the leaves could not be read")
	failing := io.MultiReader(bytes.NewReader(big), iotest.ErrReader(broken))
	require.ErrorIs(t, store.Upload(t.Context(), "roots/4.ndjson.gz", "application/gzip", failing, nil), broken)
	_, err = store.Open(t.Context(), "roots/4.ndjson.gz")
	require.Error(t, err, "half a file appeared")
}
