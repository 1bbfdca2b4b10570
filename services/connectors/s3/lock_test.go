package s3_test

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tenure/services/connectors"
	"tenure/services/connectors/s3"
	"tenure/services/connectors/s3/s3test"
	"tenure/shared/fault"
)

// TestALockedVersionIsNamedWithItsDate: nothing but time opens the lock, so that there is no sense in trying again, and
// what is not locked goes all the same.
func TestALockedVersionIsNamedWithItsDate(t *testing.T) {
	client, err := s3.NewClient(t.Context(), s3test.Settings(t))
	if err != nil {
		t.Fatal(err)
	}
	name := "locked-" + strings.ToLower(rand.Text())
	if _, err := client.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &name, ObjectLockEnabledForBucket: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	b := bucket{client, name, s3.New("files", client, s3.Config{Bucket: name, Prefix: "data/{tenant}/", Kind: "documents"})}
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	for _, id := range []string{"a", "b", "c", "d"} {
		if err := b.put(t.Context(), "acme", id, "content"); err != nil {
			t.Fatal(err)
		}
	}
	_, err = client.PutObjectRetention(t.Context(), &awss3.PutObjectRetentionInput{
		Bucket: &name, Key: aws.String("data/acme/b"),
		Retention: &types.ObjectLockRetention{Mode: types.ObjectLockRetentionModeCompliance, RetainUntilDate: &until},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.PutObjectLegalHold(t.Context(), &awss3.PutObjectLegalHoldInput{
		Bucket: &name, Key: aws.String("data/acme/c"), LegalHold: &types.ObjectLockLegalHold{Status: types.ObjectLockLegalHoldStatusOn},
	})
	if err != nil {
		t.Fatal(err)
	}
	erased, err := b.store.Erase(t.Context(), connectors.Tenant("acme"))
	if err == nil || !strings.Contains(err.Error(), "data/acme/b") || !strings.Contains(err.Error(), until.Format(time.RFC3339)) {
		t.Errorf("the error is %v", err)
	}
	if _, wait := fault.Delay(err); wait {
		t.Error("the error says to try again")
	}
	if erased.Total() != 2 {
		t.Errorf("erased %v", erased)
	}
	if left, err := b.store.Verify(t.Context(), connectors.Tenant("acme")); err != nil || left.Total() != 2 {
		t.Errorf("left are %v, %v", left, err)
	}
}
