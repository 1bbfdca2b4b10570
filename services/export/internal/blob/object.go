package blob

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
)

// ErrNoObject says that there is no such archive.
var ErrNoObject = errors.New("there is no such archive in S3")

// Object is an archive as it is in S3. All that is read of one is of the same version: one that is replaced meanwhile
// fails.
type Object struct {
	store *Store
	key   string
	etag  string
	Size  int64
}

// Stat finds an object.
func (s *Store) Stat(ctx context.Context, key string) (*Object, error) {
	out, err := s.bucket.Client.HeadObject(ctx, &awss3.HeadObjectInput{Bucket: &s.bucket.Name, Key: &key}, patiently)
	if err != nil {
		return nil, classify(err, "find "+key)
	}
	return &Object{store: s, key: key, etag: aws.ToString(out.ETag), Size: aws.ToInt64(out.ContentLength)}, nil
}

// get asks for the bytes from begin up to, and without, end.
func (o *Object) get(ctx context.Context, begin, end int64) (io.ReadCloser, error) {
	out, err := o.store.bucket.Client.GetObject(ctx, &awss3.GetObjectInput{
		Bucket: &o.store.bucket.Name, Key: &o.key, IfMatch: &o.etag, Range: aws.String(fmt.Sprintf("bytes=%d-%d", begin, end-1)),
	}, patiently)
	if err != nil {
		return nil, classify(err, "read "+o.key+" back")
	}
	return out.Body, nil
}

// tailBytes is what At fetches at once of the end of an object, where a zip's directory is.
const tailBytes = 1 << 20

// At reads anywhere in the object, with a request for each call but for those of its end. It is for one goroutine.
func (o *Object) At(ctx context.Context) io.ReaderAt { return &objectAt{ctx: ctx, object: o} }

type objectAt struct {
	ctx    context.Context // of an io.ReaderAt, whose calls have none
	object *Object
	tail   []byte
}

func (r *objectAt) ReadAt(p []byte, off int64) (n int, err error) {
	size := r.object.Size
	if off >= size {
		return 0, io.EOF
	}
	begin := max(size-tailBytes, 0)
	if off < begin {
		n, err = r.fetch(p[:min(int64(len(p)), size-off)], off)
	} else {
		if r.tail == nil {
			tail := make([]byte, size-begin)
			if _, err := r.fetch(tail, begin); err != nil {
				return 0, err
			}
			r.tail = tail
		}
		n = copy(p, r.tail[off-begin:])
	}
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (r *objectAt) fetch(p []byte, off int64) (int, error) {
	stream := &stream{ctx: r.ctx, object: r.object, at: off, end: off + int64(len(p))}
	defer stream.Close()
	return io.ReadFull(stream, p)
}

// Stream reads the object once, from its beginning. When the connection breaks, it goes on with another where it was.
func (o *Object) Stream(ctx context.Context) io.ReadCloser {
	return &stream{ctx: ctx, object: o, end: o.Size}
}

// reconnects is how often a stream goes on without having read anything new.
const reconnects = 3

type stream struct {
	ctx     context.Context // of an io.Reader, whose calls have none
	object  *Object
	at, end int64
	body    io.ReadCloser
	broken  int // connections, since something was read
}

func (s *stream) Read(p []byte) (int, error) {
	for s.at < s.end {
		if s.body == nil {
			var err error
			if s.body, err = s.object.get(s.ctx, s.at, s.end); err != nil {
				return 0, err
			}
		}
		n, err := s.body.Read(p)
		if n > 0 {
			s.at, s.broken = s.at+int64(n), 0
			return n, nil
		}
		if err == nil {
			continue
		}
		s.Close()
		if s.broken++; s.broken > reconnects {
			return 0, classify(io.ErrUnexpectedEOF, "read "+s.object.key+" back: "+err.Error())
		}
	}
	return 0, io.EOF
}

func (s *stream) Close() error {
	if s.body == nil {
		return nil
	}
	err := s.body.Close()
	s.body = nil
	return err
}
