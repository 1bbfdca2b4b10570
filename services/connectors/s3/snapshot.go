package s3

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"tenure/services/connectors"
)

// snapshot is a listing kept in a file, since a tenant may have more objects than fit the memory. S3 has no
// snapshots: an object that changed after it was listed makes Read fail, rather than mix two states.
type snapshot struct {
	store     *Store
	prefix    string
	since     time.Time
	listing   *os.File
	counts    connectors.Counts
	watermark connectors.Watermark
}

// listed is one line of the listing.
type listed struct {
	Key      string    `json:"k"`
	ETag     string    `json:"e"`
	Modified time.Time `json:"m"`
}

// Snapshot lists the objects that there are now.
func (s *Store) Snapshot(ctx context.Context, of connectors.Scope, since time.Time) (connectors.Snapshot, error) {
	prefix, err := s.prefix(of.Tenant)
	if err != nil {
		return nil, err
	}
	snap := &snapshot{store: s, prefix: prefix, since: since, counts: connectors.Counts{}}
	snap.watermark.Store = s.name
	if s.cfg.Kind == "" {
		return snap, nil
	}
	snap.listing, err = os.CreateTemp("", "tenure-listing-*")
	if err == nil {
		// Without a name the file is gone with this process, however that ends.
		err = os.Remove(snap.listing.Name())
	}
	if err == nil {
		err = snap.list(ctx)
	}
	if err != nil {
		snap.Close()
		return nil, s.wrap("list", err)
	}
	return snap, nil
}

func (s *snapshot) list(ctx context.Context) error {
	out := bufio.NewWriter(s.listing)
	lines := json.NewEncoder(out)
	pages := awss3.NewListObjectsV2Paginator(s.store.bucket.Client, &awss3.ListObjectsV2Input{
		Bucket: &s.store.cfg.Bucket, Prefix: &s.prefix,
	})
	var n int64
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		if at, ok := awsmiddleware.GetServerTime(page.ResultMetadata); ok && s.watermark.TakenAt.IsZero() {
			s.watermark.TakenAt = at.UTC()
		}
		for _, o := range page.Contents {
			line := listed{Key: aws.ToString(o.Key), ETag: aws.ToString(o.ETag), Modified: aws.ToTime(o.LastModified).UTC()}
			if line.Modified.Before(s.since.Truncate(time.Second)) { // S3 tells whole seconds
				continue
			}
			n++
			if err := lines.Encode(line); err != nil {
				return err
			}
		}
	}
	s.counts[s.store.cfg.Kind] = n
	return out.Flush()
}

func (s *snapshot) Counts() connectors.Counts       { return s.counts }
func (s *snapshot) Watermark() connectors.Watermark { return s.watermark }

func (s *snapshot) Ranges(_ context.Context, kind string, _ int) ([]connectors.Range, error) {
	if s.listing == nil || kind != s.store.cfg.Kind {
		return nil, nil
	}
	return []connectors.Range{{Kind: kind}}, nil
}

func (s *snapshot) Position(context.Context, connectors.Range, int64) (string, error) {
	return "", errors.ErrUnsupported
}

func (s *snapshot) Same(context.Context, connectors.Range, int64, connectors.Watermark) (bool, error) {
	return false, nil
}

func (s *snapshot) Read(ctx context.Context, r connectors.Range, to connectors.Sink) error {
	if s.listing == nil || r.Kind != s.store.cfg.Kind {
		return nil
	}
	if _, err := s.listing.Seek(0, io.SeekStart); err != nil {
		return err
	}
	lines := json.NewDecoder(bufio.NewReader(s.listing))
	for {
		var o listed
		err := lines.Decode(&o)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.writeRow(ctx, o, to); err != nil {
			return err
		}
	}
}

// rowHead is the row of one object but for its content, which is streamed behind it.
type rowHead struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Metadata  map[string]string `json:"metadata"`
	CreatedAt time.Time         `json:"created_at"`
}

// writeRow streams one object as a row {id, name, metadata, created_at, content}; its content is base64.
func (s *snapshot) writeRow(ctx context.Context, o listed, to connectors.Sink) error {
	object, err := s.store.bucket.Client.GetObject(ctx, &awss3.GetObjectInput{
		Bucket: &s.store.cfg.Bucket, Key: &o.Key, IfMatch: &o.ETag,
	})
	if status := statusOf(err); status == http.StatusPreconditionFailed || status == http.StatusNotFound {
		return fmt.Errorf("store %s: object %s was changed while it was exported: %w", s.store.name, o.Key, err)
	}
	if err != nil {
		return s.store.wrap("read "+o.Key, err)
	}
	defer object.Body.Close()
	metadata := map[string]string{}
	maps.Copy(metadata, object.Metadata)
	metadata["content_encoding"], metadata["content_type"] = "base64", aws.ToString(object.ContentType)
	id := strings.TrimPrefix(o.Key, s.prefix)
	head, err := json.Marshal(rowHead{ID: id, Name: path.Base(id), Metadata: metadata, CreatedAt: o.Modified})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(to, `%s,"content":"`, head[:len(head)-1]); err != nil {
		return err
	}
	content := base64.NewEncoder(base64.StdEncoding, to)
	if _, err := io.Copy(content, bodyErrors{object.Body, s.store, o.Key}); err != nil {
		return err
	}
	if err := content.Close(); err != nil {
		return err
	}
	if _, err := io.WriteString(to, `"}`); err != nil {
		return err
	}
	return to.EndRow()
}

// bodyErrors marks the errors of reading an object, so that io.Copy's caller can tell them from the sink's.
type bodyErrors struct {
	io.Reader
	store *Store
	key   string
}

func (b bodyErrors) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.store.wrap("read "+b.key, err)
	}
	return n, err
}

// Close gives the listing's disk space back.
func (s *snapshot) Close() {
	if s.listing != nil {
		s.listing.Close()
		s.listing = nil
	}
}
