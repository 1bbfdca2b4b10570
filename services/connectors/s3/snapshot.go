package s3

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"tenure/services/connectors"
)

// snapshot is the listing of the moment. S3 has no snapshots: an object that changed after it was listed makes Read fail,
// rather than mix two states.
type snapshot struct {
	store     *Store
	prefix    string
	listing   *listing // nil when the objects are not exported
	counts    connectors.Counts
	watermark connectors.Watermark
}

// Snapshot lists the objects that there are now.
func (s *Store) Snapshot(ctx context.Context, of connectors.Scope, since time.Time) (connectors.Snapshot, error) {
	prefix, err := s.prefix(of)
	if err != nil {
		return nil, err
	}
	snap := &snapshot{store: s, prefix: prefix, counts: connectors.Counts{}}
	snap.watermark.Store = s.name
	if s.cfg.Kind == "" || of.Subject != "" {
		return snap, nil
	}
	if snap.listing, err = newListing(); err != nil {
		return nil, s.wrap("list", err)
	}
	if err := snap.listing.write(snap.list(ctx, since)); err != nil {
		snap.Close()
		return nil, s.wrap("list", err)
	}
	snap.counts[s.cfg.Kind] = snap.listing.rows
	snap.watermark.Position = snap.listing.all.String()
	return snap, nil
}

// list asks the server for the objects, and its clock.
func (s *snapshot) list(ctx context.Context, since time.Time) iter.Seq2[listed, error] {
	return func(yield func(listed, error) bool) {
		for page, err := range s.store.bucket.objects(ctx, s.prefix) {
			if err != nil {
				yield(listed{}, err)
				return
			}
			if at, ok := awsmiddleware.GetServerTime(page.ResultMetadata); ok && s.watermark.TakenAt.IsZero() {
				s.watermark.TakenAt = at.UTC()
			}
			for _, o := range page.Contents {
				line := listed{Key: aws.ToString(o.Key), ETag: aws.ToString(o.ETag), Modified: aws.ToTime(o.LastModified).UTC()}
				if line.Modified.Before(since.Truncate(time.Second)) { // S3 tells whole seconds
					continue
				}
				if !yield(line, nil) {
					return
				}
			}
		}
	}
}

func (s *snapshot) Counts() connectors.Counts       { return s.counts }
func (s *snapshot) Watermark() connectors.Watermark { return s.watermark }

// has reports whether there are rows of the kind.
func (s *snapshot) has(kind string) bool {
	return s.listing != nil && s.listing.rows > 0 && kind == s.store.cfg.Kind
}

// Ranges cuts the listing.
func (s *snapshot) Ranges(_ context.Context, kind string, n int) (ranges []connectors.Range, err error) {
	if !s.has(kind) {
		return nil, nil
	}
	r := connectors.Range{Kind: kind}
	if s.listing.unordered {
		return []connectors.Range{r}, nil
	}
	size := (s.listing.rows + int64(n) - 1) / int64(n)
	for left := s.listing.rows; left > size; left -= size {
		if r.UpTo, err = s.position(r, size); err != nil {
			return nil, err
		}
		ranges = append(ranges, r)
		r.After, r.UpTo = r.UpTo, ""
	}
	return append(ranges, r), nil
}

// Position finds the n-th object in the listing.
func (s *snapshot) Position(_ context.Context, r connectors.Range, n int64) (string, error) {
	if !s.has(r.Kind) || s.listing.unordered {
		return "", fmt.Errorf("store %s: a position in %s: %w", s.store.name, r.Kind, errors.ErrUnsupported)
	}
	return s.position(r, n)
}

func (s *snapshot) position(r connectors.Range, n int64) (string, error) {
	after, upTo, err := ends(r)
	if err != nil {
		return "", err
	}
	at := after
	for o, err := range s.listing.between(after.key, upTo.key) {
		if err != nil {
			return "", err
		}
		at.key = o.Key
		at.upTo += o.sum()
		if n--; n == 0 {
			return at.String(), nil
		}
	}
	return "", fmt.Errorf("store %s: the listing ends %d objects before the position", s.store.name, n)
}

func ends(r connectors.Range) (after, upTo position, err error) {
	if after, err = parsePosition(r.After); err != nil {
		return after, upTo, err
	}
	upTo, err = parsePosition(r.UpTo)
	return after, upTo, err
}

// Same compares keys, ETags and times of change: neither a clock nor the removal of a version, which brings an older one to
// light, can deceive it.
func (s *snapshot) Same(_ context.Context, r connectors.Range, rows int64, at connectors.Watermark) (bool, error) {
	after, upTo, err := ends(r)
	if err == nil && r.UpTo == "" {
		upTo.upTo, err = parseSum(at.Position)
	}
	if err != nil || !s.has(r.Kind) || s.listing.unordered && r != (connectors.Range{Kind: r.Kind}) {
		return false, nil
	}
	var found sum
	for o, err := range s.listing.between(after.key, upTo.key) {
		if err != nil {
			return false, err
		}
		found += o.sum()
		rows--
	}
	return rows == 0 && found == upTo.upTo-after.upTo, nil
}

// Read gets the objects one by one.
func (s *snapshot) Read(ctx context.Context, r connectors.Range, to connectors.Sink) error {
	if !s.has(r.Kind) {
		return nil
	}
	after, upTo, err := ends(r)
	if err != nil {
		return err
	}
	for o, err := range s.listing.between(after.key, upTo.key) {
		if err != nil {
			return err
		}
		if err := s.writeRow(ctx, o, to); err != nil {
			return err
		}
	}
	return nil
}

// What an archive keeps of an object among the metadata that its owner gave it.
const (
	metaEncoding = "content_encoding"
	metaType     = "content_type"
)

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
	metadata[metaEncoding], metadata[metaType] = "base64", aws.ToString(object.ContentType)
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
		s.listing.close()
	}
}
