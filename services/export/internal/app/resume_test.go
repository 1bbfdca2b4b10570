package app_test

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"tenure/services/connectors"
	"tenure/services/export/internal/archive"
	"tenure/services/export/internal/blob"
	"tenure/services/export/internal/collect"
	"tenure/services/export/internal/manifest"
	"tenure/services/export/internal/store"
	"tenure/shared/testkit"
)

// steady is a store of documents in which nothing changes. It is cut into files that make a part each, so that every file is a
// checkpoint.
type steady struct {
	rows
	files    int
	reads    atomic.Int32                                // ranges that were read
	before   func(ctx context.Context, file int64) error // may be nil
	rowBytes int
}

const steadyRows = 10 // per file

func newSteady(files int) *steady {
	n := files * steadyRows
	return &steady{rows: rows{n: n, counted: n}, files: files, rowBytes: 1 << 20}
}

func (s *steady) Snapshot(context.Context, connectors.Scope, time.Time) (connectors.Snapshot, error) {
	return s, nil
}

func (s *steady) Bytes(context.Context, connectors.Scope) (int64, error) {
	return int64(s.files) * 16 << 20, nil
}

func (s *steady) Ranges(_ context.Context, kind string, n int) ([]connectors.Range, error) {
	if kind != "documents" {
		return nil, nil
	}
	ranges := make([]connectors.Range, n)
	for i := range ranges {
		ranges[i] = connectors.Range{Kind: kind, After: strconv.Itoa(i * s.n / n), UpTo: strconv.Itoa((i + 1) * s.n / n)}
	}
	return ranges, nil
}

func (s *steady) Same(_ context.Context, r connectors.Range, rows int64, _ connectors.Watermark) (bool, error) {
	after, upTo := bounds(r)
	return rows == upTo-after, nil
}

func bounds(r connectors.Range) (after, upTo int64) {
	after, _ = strconv.ParseInt(r.After, 10, 64)
	upTo, _ = strconv.ParseInt(r.UpTo, 10, 64)
	return after, upTo
}

func (s *steady) Read(ctx context.Context, r connectors.Range, to connectors.Sink) error {
	s.reads.Add(1)
	after, upTo := bounds(r)
	if s.before != nil {
		if err := s.before(ctx, after/steadyRows); err != nil {
			return err
		}
	}
	random := rand.New(rand.NewPCG(uint64(after), 0))
	text := make([]byte, s.rowBytes)
	for id := after; id < upTo; id++ {
		for i := range text {
			text[i] = byte('a' + random.IntN(26))
		}
		if _, err := fmt.Fprintf(to, `{"id":"%d","text":"%s"}`, id, text); err != nil {
			return err
		}
		if err := to.EndRow(); err != nil {
			return err
		}
	}
	return nil
}

// object is the archive that S3 has.
func (b *bench) object(t *testing.T, exportID string) []byte {
	t.Helper()
	key := blob.Key("acme", exportID)
	out, err := b.client.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: &b.bucket, Key: &key})
	check(t, err)
	defer out.Body.Close()
	all, err := io.ReadAll(out.Body)
	check(t, err)
	return all
}

// packed are the files of an archive as they stand in it, but for those that tell when and of what it is.
func packed(t *testing.T, object []byte) map[string][]byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(object), int64(len(object)))
	check(t, err)
	all := map[string][]byte{}
	for _, f := range z.File {
		if f.Name == manifest.Name || f.Name == manifest.MetadataName {
			continue
		}
		r, err := f.OpenRaw()
		check(t, err)
		content, err := io.ReadAll(r)
		check(t, err)
		if _, double := all[f.Name]; double {
			t.Errorf("%s is there twice", f.Name)
		}
		all[f.Name] = content
	}
	return all
}

func equal(a, b map[string][]byte) bool { return maps.EqualFunc(a, b, bytes.Equal) }

var requestedAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func (b *bench) enqueueAt(t *testing.T, id string) {
	t.Helper()
	b.enqueueJob(t, store.Job{
		ExportID: id, TenantID: "acme", RequestedAt: requestedAt, DueBy: time.Now().AddDate(0, 1, 0),
	})
}

// TestCrashAtEveryCommit breaks each write of an export in turn, twice. The archive is the same, whatever fails, and so
// is what was told.
func TestCrashAtEveryCommit(t *testing.T) {
	calm := newBench(t)
	calm.start(t, newSteady(6))
	calm.enqueueAt(t, "exp_1")
	calm.waitFor(t, "exp_1", store.Completed)
	want := packed(t, calm.object(t, "exp_1"))
	for name, failure := range map[string]testkit.Failure{
		"the claim":             {Table: "export.jobs", Op: "UPDATE", When: "NEW.epoch > OLD.epoch"},
		"the plan":              {Table: "export.archives", Op: "INSERT"},
		"the upload":            {Table: "export.archives", Op: "UPDATE", When: "NEW.upload_id <> OLD.upload_id"},
		"the first checkpoints": {Table: "export.checkpoints", Op: "INSERT", When: "NEW.n = 0"},
		"a later checkpoint":    {Table: "export.checkpoints", Op: "INSERT", When: "NEW.n = 1"},
		"all parts":             {Table: "export.archives", Op: "UPDATE", When: "NEW.parts IS NOT NULL"},
		"the end of writing":    {Table: "export.jobs", Op: "UPDATE", When: "NEW.status = 'verifying' AND OLD.status <> 'verifying'"},
		"the end":               {Table: "export.jobs", Op: "UPDATE", When: "NEW.status = 'completed'"},
		"the tidying":           {Table: "export.archives", Op: "DELETE"},
		"the news":              {Table: "export.log", Op: "INSERT", When: "NEW.type LIKE '%completed%'"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			failure.Times = 2
			testkit.FailQuery(t, b.db, failure)
			b.start(t, newSteady(6))
			b.enqueueAt(t, "exp_1")
			b.waitFor(t, "exp_1", store.Completed)
			if !equal(packed(t, b.object(t, "exp_1")), want) {
				t.Error("the archive has other bytes")
			}
			if got := b.emitted(t); got != "export.started export.completed" {
				t.Errorf("events are %q", got)
			}
			b.checkTidy(t)
		})
	}
}

// checkTidy holds that nothing is left of the making. What a crash leaves of an upload that was not noted yet, the sweep
// removes that each process begins with.
func (b *bench) checkTidy(t *testing.T) {
	t.Helper()
	b.start(t)
	var completed int64
	check(t, b.db.QueryRow(t.Context(), `SELECT count(*) FROM jobs WHERE status = 'completed'`).Scan(&completed))
	testkit.WaitFor(t, patience, "S3 holds the archives alone", func() bool { return b.left(t) == completed })
	var rows int
	check(t, b.db.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM archives) + (SELECT count(*) FROM checkpoints)`).Scan(&rows))
	if rows != 0 {
		t.Errorf("%d rows about the archive are left", rows)
	}
}

// inTheMiddle lets an export come to its n-th checkpoint, and stop there until proceed is closed.
func (b *bench) inTheMiddle(t *testing.T, n int) (s *steady, proceed chan struct{}) {
	t.Helper()
	s, proceed = newSteady(6), make(chan struct{})
	s.before = func(ctx context.Context, _ int64) error {
		if int(s.reads.Load()) <= n {
			return nil
		}
		select {
		case <-proceed:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	b.start(t, s)
	b.enqueueAt(t, "exp_1")
	testkit.WaitFor(t, patience, "checkpoints", func() bool {
		var stored int
		check(t, b.db.QueryRow(t.Context(), `SELECT count(*) FROM checkpoints`).Scan(&stored))
		return stored == n
	})
	return s, proceed
}

func (b *bench) uploadID(t *testing.T) (id string) {
	t.Helper()
	check(t, b.db.QueryRow(t.Context(), `SELECT upload_id FROM archives`).Scan(&id))
	return id
}

// TestAPartOfAFormerHolder lets somebody who has lost the job send a part, of other content, when nobody expects it any
// more. The archive never has it: it is begun anew.
func TestAPartOfAFormerHolder(t *testing.T) {
	b := newBench(t)
	s, proceed := b.inTheMiddle(t, 2)
	blobs, err := blob.Open(t.Context(), blob.Settings{Server: b.server, Bucket: b.bucket})
	check(t, err)
	_, err = blobs.Upload(blob.Key("acme", "exp_1"), b.uploadID(t)).Put(t.Context(), 1, make([]byte, archive.LeastPart))
	check(t, err)
	close(proceed)
	if job := b.waitFor(t, "exp_1", store.Completed); job.Failures != 1 {
		t.Errorf("the job is %+v", job)
	}
	if n := s.reads.Load(); n != 12 {
		t.Errorf("%d files were read, not 6 twice", n)
	}
	b.checkTidy(t)
}

func TestAnUploadThatS3Lost(t *testing.T) {
	b := newBench(t)
	_, proceed := b.inTheMiddle(t, 2)
	key, id := blob.Key("acme", "exp_1"), b.uploadID(t)
	_, err := b.client.AbortMultipartUpload(t.Context(), &awss3.AbortMultipartUploadInput{Bucket: &b.bucket, Key: &key, UploadId: &id})
	check(t, err)
	close(proceed)
	b.waitFor(t, "exp_1", store.Completed)
	b.checkTidy(t)
}

// TestAnUploadCompletedUnseen is a kill between S3's answer and the note of it.
func TestAnUploadCompletedUnseen(t *testing.T) {
	b := newBench(t)
	s := newSteady(3)
	heal := testkit.FailQuery(t, b.db, testkit.Failure{Table: "export.jobs", Op: "UPDATE", When: "NEW.status = 'completed'", Times: 1})
	defer heal()
	b.start(t, s)
	b.enqueueAt(t, "exp_1")
	b.waitFor(t, "exp_1", store.Completed)
	if n := s.reads.Load(); n != 3 {
		t.Errorf("%d files were read, not 3", n)
	}
	b.checkTidy(t)
}

// TestAStopCostsOneFile holds what going on is good for: what was uploaded is not read again.
func TestAStopCostsOneFile(t *testing.T) {
	b := newBench(t)
	s := newSteady(6)
	reading, released := make(chan struct{}, 9), make(chan struct{})
	s.before = func(ctx context.Context, _ int64) error {
		if s.reads.Load() <= 3 {
			return nil
		}
		reading <- struct{}{}
		select {
		case <-released:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	stop := b.start(t, s)
	b.enqueueAt(t, "exp_1")
	testkit.Receive(t, patience, reading)
	var kept int64
	testkit.WaitFor(t, patience, "three checkpoints", func() bool {
		check(t, b.db.QueryRow(t.Context(), `SELECT count(*) FROM checkpoints`).Scan(&kept))
		return kept == 3
	})
	stop()
	close(released)
	again := newSteady(6)
	b.start(t, again)
	job := b.waitFor(t, "exp_1", store.Completed)
	if n := again.reads.Load(); n != 3 {
		t.Errorf("%d files were read again, not those 3 that were not uploaded", n)
	}
	if file := int64(steadyRows << 20); job.RedoneBytes > 3*file {
		t.Errorf("%d bytes were redone, more than the 3 files that were open", job.RedoneBytes)
	}
	if job.Done != job.Total || job.ContentBytes < 60<<20 {
		t.Errorf("the progress is %d of %d rows, %d bytes", job.Done, job.Total, job.ContentBytes)
	}
}

// TestCancelInTheMiddleLeavesNothing cancels what has checkpoints.
func TestCancelInTheMiddleLeavesNothing(t *testing.T) {
	b := newBench(t)
	b.inTheMiddle(t, 2)
	check(t, store.RequestCancel(t.Context(), b.db, "exp_1"))
	b.waitFor(t, "exp_1", store.Cancelled)
	if n := b.left(t); n != 0 {
		t.Errorf("S3 holds %d things", n)
	}
	var rows int
	check(t, b.db.QueryRow(t.Context(), `SELECT count(*) FROM archives`).Scan(&rows))
	if rows != 0 {
		t.Error("the archive in the making is still known")
	}
}

// TestFormerHolderStoresNoCheckpoint holds the fence of each statement.
func TestFormerHolderStoresNoCheckpoint(t *testing.T) {
	b := newBench(t)
	b.enqueue(t, "exp_1")
	former := b.claim(t, 0)
	present := b.claim(t, time.Minute)
	for name, write := range map[string]func(*store.Job) error{
		"the plan":       func(j *store.Job) error { return store.BeginArchive(t.Context(), b.db, j, collect.Plan{}) },
		"the upload":     func(j *store.Job) error { return store.SetUpload(t.Context(), b.db, j, "u") },
		"another plan":   func(j *store.Job) error { return store.SetPlan(t.Context(), b.db, j, collect.Plan{}) },
		"a checkpoint":   func(j *store.Job) error { return store.AddCheckpoint(t.Context(), b.db, j, 0, 0, "{}") },
		"what is redone": func(j *store.Job) error { return store.Resume(t.Context(), b.db, j, []int{1}, 7) },
		"the parts":      func(j *store.Job) error { j.Manifest = []byte(`{}`); return store.Uploaded(t.Context(), b.db, j, nil) },
	} {
		if err := write(former); err == nil || !strings.Contains(err.Error(), "no longer") {
			t.Errorf("%s: %v", name, err)
		}
	}
	check(t, store.BeginArchive(t.Context(), b.db, present, collect.Plan{Stores: []string{"a"}}))
	check(t, store.SetUpload(t.Context(), b.db, present, "u"))
	for n := range 3 {
		check(t, store.AddCheckpoint(t.Context(), b.db, present, 1, n, map[string]int{"n": n}))
	}
	check(t, store.Resume(t.Context(), b.db, present, []int{0, 2}, 7))
	left, err := store.Checkpoints(t.Context(), b.db, present)
	check(t, err)
	if len(left) != 2 || !slices.Equal(left[1], []byte(`{"n":1}`)) {
		t.Errorf("the checkpoints left are %s", left)
	}
	if job := b.job(t, "exp_1"); job.RedoneBytes != 7 {
		t.Errorf("the job is %+v", job)
	}
}

// archived are the lines of a kind, in the order of the archive.
func archived(t *testing.T, object []byte, kind string) (all []string) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(object), int64(len(object)))
	check(t, err)
	for _, f := range z.File {
		if manifest.KindOf(f.Name) != kind {
			continue
		}
		r, err := f.Open()
		check(t, err)
		content, err := io.ReadAll(r)
		check(t, err)
		all = append(all, strings.FieldsFunc(string(content), func(c rune) bool { return c == '\n' })...)
	}
	return all
}
