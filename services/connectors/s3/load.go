package s3

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"tenure/services/connectors"
	"tenure/shared/fault"
)

// Load puts the objects below the tenant's prefix, by the names that they had: no other tenant's are there.
func (s *Store) Load(ctx context.Context, tenant, kind string, rows []json.RawMessage, _ connectors.IDs) (loaded int64, err error) {
	prefix, err := s.prefix(connectors.Tenant(tenant))
	if err != nil {
		return 0, err
	}
	if kind != s.cfg.Kind || kind == "" {
		return 0, fault.Permanent(fmt.Errorf("store %s has no rows of %s", s.name, kind))
	}
	for i, row := range rows {
		object, err := parseObject(row)
		if err != nil {
			return loaded, fault.Permanent(fmt.Errorf("store %s: row %d: %w", s.name, i+1, err))
		}
		put, err := s.putNew(ctx, prefix, object)
		if err != nil {
			return loaded, s.wrap("load "+object.ID, err)
		}
		if put {
			loaded++
		}
	}
	return loaded, nil
}

// object is a row as Read gives it.
type object struct {
	rowHead
	Content string `json:"content"`
	content []byte
}

func parseObject(row json.RawMessage) (o object, err error) {
	if err := json.Unmarshal(row, &o); err != nil {
		return o, err
	}
	// Servers that keep objects as files may take such a name for a way out of the prefix.
	if o.ID == "" || slices.ContainsFunc(strings.Split(o.ID, "/"), func(part string) bool { return part == "." || part == ".." }) {
		return o, fmt.Errorf("%q is no name of an object", o.ID)
	}
	if encoding := o.Metadata[metaEncoding]; encoding != "base64" {
		return o, fmt.Errorf("the content of %q is in %q, not in base64", o.ID, encoding)
	}
	o.content, err = base64.StdEncoding.DecodeString(o.Content)
	return o, err
}

// putNew puts an object unless there is one of its name.
func (s *Store) putNew(ctx context.Context, prefix string, o object) (put bool, err error) {
	metadata := maps.Clone(o.Metadata)
	delete(metadata, metaEncoding)
	delete(metadata, metaType)
	_, err = s.bucket.Client.PutObject(ctx, &awss3.PutObjectInput{
		Bucket: &s.cfg.Bucket, Key: aws.String(prefix + o.ID), Body: bytes.NewReader(o.content), Metadata: metadata,
		ContentType: aws.String(o.Metadata[metaType]), IfNoneMatch: aws.String("*"),
	})
	if statusOf(err) == http.StatusPreconditionFailed {
		return false, nil
	}
	return err == nil, err
}
