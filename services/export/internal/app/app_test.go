package app_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/connectors"
	"tenure/services/connectors/s3"
	"tenure/services/connectors/s3/s3test"
	"tenure/services/export/internal/app"
	"tenure/services/export/internal/blob"
	"tenure/services/export/internal/store"
	"tenure/shared/eventlog"
	"tenure/shared/fault"
	"tenure/shared/jobs"
	"tenure/shared/pg"
	"tenure/shared/testkit"
)

// patience is for a busy machine; nothing waits that long.
const patience = 2 * time.Minute

// bench is an App on a real database and a real bucket, without the bus.
type bench struct {
	db     *pgxpool.Pool
	log    *eventlog.Log
	client *awss3.Client
	bucket string
	server s3.Settings
}

func newBench(t *testing.T) *bench {
	t.Helper()
	url := testkit.Postgres(t)
	check(t, pg.Migrate(t.Context(), url, "export", migrations(t)))
	db, err := pg.Open(t.Context(), url, "export")
	check(t, err)
	t.Cleanup(db.Close)
	log, err := eventlog.Open(t.Context(), db, eventlog.Config{Service: "export"})
	check(t, err)
	b := &bench{db: db, log: log, server: s3test.Settings(t)}
	b.client, b.bucket = s3test.Bucket(t)
	return b
}

// migrations are those of the service, without its wiring.
func migrations(t *testing.T) fs.FS {
	t.Helper()
	dir, err := filepath.Abs("../../migrations")
	check(t, err)
	return os.DirFS(dir)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start runs an App until stop, or the test's end.
func (b *bench) start(t *testing.T, stores ...connectors.Connector) (stop func()) {
	t.Helper()
	blobs, err := blob.Open(t.Context(), blob.Settings{Server: b.server, Bucket: b.bucket})
	check(t, err)
	a := app.New(b.db, b.log, blobs, stores, app.Config{
		Day: 24 * time.Hour, Workers: 1, Lease: 6 * time.Second, Poll: 10 * time.Millisecond,
		Backoff: func(int) time.Duration { return time.Millisecond },
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the app ended: %v", err)
		}
		ended <- nil
	}
	t.Cleanup(stop)
	return stop
}

func (b *bench) enqueue(t *testing.T, id string) {
	t.Helper()
	b.enqueueJob(t, store.Job{ExportID: id, TenantID: "acme"})
}

// enqueueJob fills in what the test does not care for.
func (b *bench) enqueueJob(t *testing.T, job store.Job) {
	t.Helper()
	job.CorrelationID, job.CausationID = "c", "acme.1"
	if job.RequestedAt.IsZero() {
		job.RequestedAt = time.Now()
	}
	if job.DueBy.IsZero() {
		job.DueBy = job.RequestedAt.AddDate(0, 1, 0)
	}
	check(t, store.Enqueue(t.Context(), b.db, job))
}

// claim takes the next job, as a worker would; nil when there is none.
func (b *bench) claim(t *testing.T, lease time.Duration) (job *store.Job) {
	t.Helper()
	check(t, pg.WithTx(t.Context(), b.db, func(tx pgx.Tx) (err error) {
		job, err = store.Claim(t.Context(), tx, lease)
		return err
	}))
	return job
}

func (b *bench) job(t *testing.T, id string) *store.Job {
	t.Helper()
	job, err := store.Get(t.Context(), b.db, id)
	check(t, err)
	if job == nil {
		t.Fatalf("there is no export %s", id)
	}
	return job
}

func (b *bench) waitFor(t *testing.T, id string, status store.Status) *store.Job {
	t.Helper()
	var job *store.Job
	testkit.WaitFor(t, patience, fmt.Sprintf("%s is %s", id, status), func() bool {
		job = b.job(t, id)
		return job.Status == status
	})
	return job
}

// emitted are the names of the events in the log.
func (b *bench) emitted(t *testing.T) string {
	t.Helper()
	recorded, err := b.log.Read(t.Context(), b.db, "acme", 0, 100)
	check(t, err)
	var names []string
	for _, r := range recorded {
		if r.Name() != "export.progressed" {
			names = append(names, r.Name())
		}
	}
	return strings.Join(names, " ")
}

// left counts all that S3 holds, unfinished uploads included.
func (b *bench) left(t *testing.T) int64 {
	t.Helper()
	counts, err := s3.Bucket{Client: b.client, Name: b.bucket}.Count(t.Context(), "")
	check(t, err)
	return counts.Total()
}

// rows is a store of n documents that says it has counted of them. Each row passes gate, if there is one.
type rows struct {
	connectors.Connector
	n, counted int
	gate       func(ctx context.Context, row int) error
	snapshots  atomic.Int32
}

func (r *rows) Snapshot(context.Context, connectors.Scope, time.Time) (connectors.Snapshot, error) {
	r.snapshots.Add(1)
	return r, nil
}

func (r *rows) Name() string { return "rows" }

func (r *rows) Bytes(context.Context, connectors.Scope) (int64, error) {
	return 0, errors.ErrUnsupported
}

func (r *rows) Counts() connectors.Counts       { return connectors.Counts{"documents": int64(r.counted)} }
func (r *rows) Close()                          {}
func (r *rows) Watermark() connectors.Watermark { return connectors.Watermark{Store: "rows"} }

func (r *rows) Ranges(_ context.Context, kind string, _ int) ([]connectors.Range, error) {
	if kind != "documents" {
		return nil, nil
	}
	return []connectors.Range{{Kind: kind}}, nil
}

func (r *rows) Position(context.Context, connectors.Range, int64) (string, error) {
	return "", errors.ErrUnsupported
}

func (r *rows) Same(context.Context, connectors.Range, int64, connectors.Watermark) (bool, error) {
	return false, nil
}

func (r *rows) Read(ctx context.Context, of connectors.Range, to connectors.Sink) error {
	if of.Kind != "documents" {
		return nil
	}
	for i := range r.n {
		if r.gate != nil {
			if err := r.gate(ctx, i); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintf(to, `{"id":"%d"}`, i); err != nil {
			return err
		}
		if err := to.EndRow(); err != nil {
			return err
		}
	}
	return nil
}

func TestCompleted(t *testing.T) {
	b := newBench(t)
	b.start(t, &rows{n: 3, counted: 3})
	b.enqueue(t, "exp_1")
	job := b.waitFor(t, "exp_1", store.Completed)
	if job.Done != 3 || job.Total != 3 || job.Bytes == 0 || len(job.SHA256) != 64 || job.Error != "" {
		t.Errorf("the job is %+v", job)
	}
	if got := b.emitted(t); got != "export.started export.completed" {
		t.Errorf("events are %q", got)
	}
	if n := b.left(t); n != 1 {
		t.Errorf("S3 holds %d things", n)
	}
}

func TestCountsThatNeverMatchFail(t *testing.T) {
	b := newBench(t)
	liar := &rows{n: 3, counted: 4}
	b.start(t, liar)
	b.enqueue(t, "exp_1")
	job := b.waitFor(t, "exp_1", store.Failed)
	if !strings.Contains(job.Error, "4 documents were counted, 3 written") {
		t.Errorf("the reason is %q", job.Error)
	}
	if n := liar.snapshots.Load(); n != 5 {
		t.Errorf("it was tried %d times, not 5", n)
	}
	if got := b.emitted(t); got != "export.started export.failed" {
		t.Errorf("events are %q", got)
	}
	if n := b.left(t); n != 0 {
		t.Errorf("S3 holds %d things", n)
	}
}

func TestAStoreThatComesBackIsWaitedFor(t *testing.T) {
	b := newBench(t)
	var asked atomic.Int32
	flaky := &rows{n: 3, counted: 3, gate: func(_ context.Context, row int) error {
		if row == 1 && asked.Add(1) <= 10 { // more often than a failure would be forgiven
			return fault.RetryAfter(errors.New("the store is down"), time.Millisecond)
		}
		return nil
	}}
	b.start(t, flaky)
	b.enqueue(t, "exp_1")
	if job := b.waitFor(t, "exp_1", store.Completed); job.Failures != 0 {
		t.Errorf("the job is %+v", job)
	}
	if got := b.emitted(t); got != "export.started export.completed" {
		t.Errorf("events are %q", got)
	}
}

func TestAnArchiveThatReadsBackOtherwiseFails(t *testing.T) {
	b := newBench(t)
	b.server.Endpoint = spoilingProxy(t, b.server.Endpoint)
	b.start(t, &rows{n: 3, counted: 3})
	b.enqueue(t, "exp_1")
	job := b.waitFor(t, "exp_1", store.Failed)
	if !strings.Contains(job.Error, "not what was written") {
		t.Errorf("the reason is %q", job.Error)
	}
	if n := b.left(t); n != 0 {
		t.Errorf("S3 holds %d things", n)
	}
}

// stuck is a store whose reading stands still until its context ends, and tells when it does.
func stuck() (r *rows, reading chan struct{}) {
	reading = make(chan struct{}, 1)
	return &rows{n: 2, counted: 2, gate: func(ctx context.Context, row int) error {
		if row == 0 {
			return nil
		}
		reading <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}}, reading
}

func TestCancelStopsTheWorker(t *testing.T) {
	b := newBench(t)
	slow, reading := stuck()
	b.start(t, slow)
	b.enqueue(t, "exp_1")
	testkit.Receive(t, patience, reading)
	check(t, store.RequestCancel(t.Context(), b.db, "exp_1"))
	b.waitFor(t, "exp_1", store.Cancelled)
	if got := b.emitted(t); got != "export.started export.cancelled" {
		t.Errorf("events are %q", got)
	}
	if n := b.left(t); n != 0 {
		t.Errorf("S3 holds %d things", n)
	}
}

func TestCancelOfWhatNobodyWorksAt(t *testing.T) {
	b := newBench(t)
	b.enqueue(t, "waits")
	check(t, store.RequestCancel(t.Context(), b.db, "waits"))
	stop := b.start(t, &rows{n: 1, counted: 1})
	b.waitFor(t, "waits", store.Cancelled)
	if got := b.emitted(t); got != "export.cancelled" {
		t.Errorf("events are %q", got)
	}
	b.enqueue(t, "done")
	b.waitFor(t, "done", store.Completed)
	check(t, store.RequestCancel(t.Context(), b.db, "done"))
	b.waitFor(t, "done", store.Cancelled)
	if n := b.left(t); n != 0 {
		t.Errorf("S3 holds %d things", n)
	}
	check(t, store.RequestCancel(t.Context(), b.db, "done"))
	stop()
	if job := b.job(t, "done"); job.CancelRequested || job.Status != store.Cancelled {
		t.Errorf("a second cancellation makes it %+v", job)
	}
}

func TestAStoppedWorkerGivesItsJobBack(t *testing.T) {
	b := newBench(t)
	slow, reading := stuck()
	stop := b.start(t, slow)
	b.enqueue(t, "exp_1")
	testkit.Receive(t, patience, reading)
	stop()
	if job := b.job(t, "exp_1"); job.Status != store.Pending || job.Failures != 0 {
		t.Errorf("the job is %+v", job)
	}
	b.start(t, &rows{n: 2, counted: 2})
	b.waitFor(t, "exp_1", store.Completed)
	b.checkTidy(t)
}

// TestAKilledWorkersJobIsTakenOver leaves what kill -9 leaves: a lease and an upload that nobody ends.
func TestAKilledWorkersJobIsTakenOver(t *testing.T) {
	b := newBench(t)
	b.enqueue(t, "exp_1")
	dead := b.claim(t, time.Second)
	check(t, store.BeginArchive(t.Context(), b.db, dead, struct{}{}))
	key := blob.Key("acme", "exp_1")
	upload, err := b.client.CreateMultipartUpload(t.Context(), &awss3.CreateMultipartUploadInput{Bucket: &b.bucket, Key: &key})
	check(t, err)
	check(t, store.SetUpload(t.Context(), b.db, dead, *upload.UploadId))

	b.start(t, &rows{n: 3, counted: 3})
	job := b.waitFor(t, "exp_1", store.Completed)
	if job.Epoch != dead.Epoch+1 {
		t.Errorf("the job is %+v", job)
	}
	if n := b.left(t); n != 1 {
		t.Errorf("S3 holds %d things", n)
	}

	// It was not dead but asleep: nothing it does counts any more.
	_, err = b.client.CompleteMultipartUpload(t.Context(), &awss3.CompleteMultipartUploadInput{Bucket: &b.bucket, Key: &key, UploadId: upload.UploadId})
	if err == nil {
		t.Error("the former holder put its archive in place of the new one")
	}
	if err := store.Uploaded(t.Context(), b.db, dead, nil); !errors.Is(err, jobs.ErrLost) {
		t.Errorf("the former holder's write answers %v", err)
	}
	if _, err := store.Beat(t.Context(), b.db, dead, time.Minute); !errors.Is(err, jobs.ErrLost) {
		t.Errorf("the former holder's heartbeat answers %v", err)
	}
}

func TestAKillWhileVerifyingCostsNoSecondRead(t *testing.T) {
	b := newBench(t)
	data := &rows{n: 3, counted: 3}
	stop := b.start(t, data)
	b.enqueue(t, "exp_1")
	b.waitFor(t, "exp_1", store.Completed)
	stop()
	_, err := b.db.Exec(t.Context(), `UPDATE jobs SET status = 'verifying', expires_at = NULL`)
	check(t, err)
	b.start(t, data)
	b.waitFor(t, "exp_1", store.Completed)
	if n := data.snapshots.Load(); n != 1 {
		t.Errorf("the store was read %d times", n)
	}
}

func TestALostJobIsLetGo(t *testing.T) {
	b := newBench(t)
	slow, reading := stuck()
	b.start(t, slow)
	b.enqueue(t, "exp_1")
	testkit.Receive(t, patience, reading)
	_, err := b.db.Exec(t.Context(), `UPDATE jobs SET epoch = epoch + 1, lease_until = now() + interval '1 hour'`)
	check(t, err)
	// The only worker is free for another tenant's: it has let go of the first.
	b.enqueueJob(t, store.Job{ExportID: "exp_2", TenantID: "other"})
	testkit.Receive(t, patience, reading)
	if job := b.job(t, "exp_1"); job.Status != store.Running || job.Epoch != 2 {
		t.Errorf("the former holder made it %+v", job)
	}
}

func TestOrphanedUploadsAreSwept(t *testing.T) {
	b := newBench(t)
	key := blob.Key("acme", "of-nobody")
	_, err := b.client.CreateMultipartUpload(t.Context(), &awss3.CreateMultipartUploadInput{Bucket: &b.bucket, Key: &key})
	check(t, err)
	b.start(t)
	testkit.WaitFor(t, patience, "the upload is aborted", func() bool { return b.left(t) == 0 })
}

func TestWants(t *testing.T) {
	for eventType, want := range map[string]bool{
		"tenure.lifecycle.tenant.registered.v1":      true,
		"tenure.lifecycle.from.the.future.v1":        true,
		"tenure.billing.subscription.changed.v1":     true,
		"tenure.billing.usage.updated.v1":            false,
		"tenure.billing.step.completed.v1":           false,
		"tenure.export.export.completed.v1":          false,
		"tenure.notifier.message.sent.v1":            false,
		"com.example.billing.subscription.changed.1": false,
	} {
		if got := app.Wants(eventType); got != want {
			t.Errorf("%s: %v", eventType, got)
		}
	}
}

func TestEncryptedExport(t *testing.T) {
	b := newBench(t)
	identity, err := age.GenerateX25519Identity()
	check(t, err)
	b.start(t, &rows{n: 3, counted: 3})
	b.enqueueJob(t, store.Job{ExportID: "exp_1", TenantID: "acme", EncryptTo: identity.Recipient().String(), Parquet: []string{"usage"}})
	b.waitFor(t, "exp_1", store.Completed)
	files := packed(t, b.object(t, "exp_1"))
	opened, err := age.Decrypt(bytes.NewReader(files["documents/part-00001.ndjson.gz.age"]), identity)
	check(t, err)
	unpacked, err := gzip.NewReader(opened)
	check(t, err)
	content, err := io.ReadAll(unpacked)
	check(t, err)
	if got := strings.Count(string(content), "\n"); got != 3 {
		t.Errorf("%d documents are in %q", got, content)
	}
	if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, []string{
		"audit.ndjson.gz.age", "billing.ndjson.gz.age", "documents/part-00001.ndjson.gz.age", "usage.parquet.gz.age", "vectors/part-00001.ndjson.gz.age",
	}) {
		t.Errorf("the files are %q", got)
	}
}

func TestARecipientThatIsNone(t *testing.T) {
	b := newBench(t)
	b.start(t, &rows{n: 3, counted: 3})
	b.enqueueJob(t, store.Job{ExportID: "exp_1", TenantID: "acme", EncryptTo: "age1nobody"})
	if job := b.waitFor(t, "exp_1", store.Failed); job.Failures != 1 || !strings.Contains(job.Error, "encrypt_to") {
		t.Errorf("the job is %+v", job)
	}
}
