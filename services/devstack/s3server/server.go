// Package s3server runs an S3 server inside this process, with its objects as files in a directory.
package s3server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3err"
)

// Region is the one region the server answers for.
const Region = "us-east-1"

// Limits far above what one machine's development needs; the library wants them set.
const (
	maxConnections = 4096
	maxRequests    = 4096
	maxParts       = 10000
	maxFileActions = 512
)

// Config says where the server listens and who may use it.
type Config struct {
	// Dir holds objects and versions; it must be absolute and is created when missing.
	Dir string
	// Addr is host:port.
	Addr                 string
	AccessKey, SecretKey string
	// Bucket is created when missing.
	Bucket string
}

// Server is a running S3 server.
type Server struct {
	addr   string
	cancel context.CancelFunc
	done   chan struct{}
	err    error // why the server ended; read after done
}

// Start returns when the server takes requests. ctx ends the waiting alone; end the server with Stop.
//
// One server per process is possible, and starting it changes the process's working directory to the object
// directory: the library's file backend works on relative paths. Resolve relative paths of your own before.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	be, err := open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open the S3 server's files in %s: %w", cfg.Dir, err)
	}
	root := auth.Account{Access: cfg.AccessKey, Secret: cfg.SecretKey, Role: auth.RoleAdmin}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &Server{addr: cfg.Addr, cancel: cancel, done: make(chan struct{})}
	ready := make(chan struct{})
	go func() {
		defer close(s.done)
		s.err = embedgw.RunVersityGW(serving, be, &embedgw.Config{
			RootUserAccess:    root.Access,
			RootUserSecret:    root.Secret,
			IAMService:        auth.NewIAMServiceSingle(root),
			Region:            Region,
			Ports:             []string{cfg.Addr},
			MaxConnections:    maxConnections,
			MaxRequests:       maxRequests,
			MultipartMaxParts: maxParts,
			KeepAlive:         true,
			Quiet:             true,
			S3Options:         []s3api.Option{s3api.WithOnListen(func() { close(ready) })},
		})
	}()
	select {
	case <-ready:
		return s, nil
	case <-s.done:
		return nil, fmt.Errorf("start the S3 server on %s: %w", cfg.Addr, s.err)
	case <-ctx.Done():
		s.Stop()
		return nil, fmt.Errorf("wait for the S3 server: %w", ctx.Err())
	}
}

// Endpoint is the URL for path-style requests.
func (s *Server) Endpoint() string { return "http://" + s.addr }

// Done is closed when the server has ended, by Stop or by itself; Err then says why.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err is nil after a Stop. Call it after Done is closed.
func (s *Server) Err() error { return s.err }

// Stop ends the server and waits for the requests under way. It may be called twice.
func (s *Server) Stop() {
	s.cancel()
	<-s.done
}

// open makes the directories, the file backend and the bucket.
func open(ctx context.Context, cfg Config) (backend.Backend, error) {
	objects, versions := filepath.Join(cfg.Dir, "objects"), filepath.Join(cfg.Dir, "versions")
	for _, dir := range []string{objects, versions} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	opts := posix.PosixOpts{VersioningDir: versions, Concurrency: maxFileActions}
	opts.SetNewDirPerm(0o700)
	opts.SetNewFilePerm(0o600)
	storer, err := metadata(cfg.Dir, objects, &opts)
	if err != nil {
		return nil, err
	}
	be, err := posix.New(objects, storer, opts)
	if err != nil {
		return nil, err
	}
	if err := createBucket(ctx, be, cfg.Bucket, cfg.AccessKey); err != nil {
		return nil, fmt.Errorf("create bucket %s: %w", cfg.Bucket, err)
	}
	return be, nil
}

// metadata keeps the objects' headers in extended attributes, or in files beside them where the file system has
// none (some containers' do not). A directory that was begun with files goes on with files.
func metadata(dir, objects string, opts *posix.PosixOpts) (meta.MetadataStorer, error) {
	sidecar := filepath.Join(dir, "metadata")
	_, err := os.Stat(sidecar)
	if errors.Is(err, os.ErrNotExist) {
		if (meta.XattrMeta{}).Test(objects) == nil {
			return meta.XattrMeta{}, nil
		}
		err = os.Mkdir(sidecar, 0o700)
	}
	if err != nil {
		return nil, err
	}
	opts.SideCarDir = sidecar
	return meta.NewSideCar(sidecar)
}

// createBucket makes the bucket as its owner would by the API, before anybody can ask for it.
func createBucket(ctx context.Context, be backend.Backend, bucket, owner string) error {
	acl, err := json.Marshal(auth.ACL{Owner: owner})
	if err != nil {
		return err
	}
	// The backend takes the owner from the request's context, under a key that the library itself makes a plain
	// string.
	ctx = context.WithValue(ctx, "bucket-owner", auth.Account{Access: owner}) //nolint:revive,staticcheck // the library's key
	err = be.CreateBucket(ctx, &s3.CreateBucketInput{
		Bucket:                    aws.String(bucket),
		ObjectOwnership:           types.ObjectOwnershipBucketOwnerEnforced,
		CreateBucketConfiguration: &types.CreateBucketConfiguration{},
	}, acl)
	if errors.Is(err, s3err.GetAPIError(s3err.ErrBucketAlreadyOwnedByYou)) {
		return nil
	}
	return err
}
