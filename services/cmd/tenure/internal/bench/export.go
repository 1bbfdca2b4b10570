package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/devstack"
	"tenure/shared/bus"
	"tenure/shared/events"
)

const (
	// exportTable is like the documents of many a SaaS: some KiB of text a row, which PostgreSQL keeps compressed. A text is
	// two of some thousand that are words of a small vocabulary in random order: no row is like another.
	exportTable = `
	CREATE SCHEMA bench;
	CREATE TABLE bench.texts (id int PRIMARY KEY, text text);
	INSERT INTO bench.texts SELECT n / 500, string_agg(vocabulary[1 + hashint4(n) & 63], ' ' ORDER BY n) FROM generate_series(0, 1999999) AS n,
		regexp_split_to_array('the of and to in is for that with on as are this be by at from or an was it not which you contract tenant ' ||
		'invoice customer payment export account service agreement data period plan usage number order date person company address ' ||
		'message document between under shall within after before until month request answer state price change notice terms law', ' ') AS vocabulary
	GROUP BY vocabulary, n / 500;
	CREATE TABLE bench.documents (tenant_id text, id bigint, name text, content text, metadata jsonb, created_at timestamptz,
		PRIMARY KEY (tenant_id, id))`
	exportRows = `INSERT INTO bench.documents SELECT $1, n, 'document ' || n, a.text || b.text,
		jsonb_build_object('n', n, 'tag', md5(n::text)), '2026-03-01T12:00:00Z'::timestamptz + n * interval '1 s'
		FROM generate_series($2::bigint, $3) AS n
		JOIN bench.texts AS a ON a.id = n % 4000 JOIN bench.texts AS b ON b.id = n * 7919 % 3989`
	exportRowBytes = 6000

	exportDataMap = `
stores:
  - name: bench
    postgres:
      url_env: DATABASE_URL
      tables:
        - {table: bench.documents, tenant: tenant_id, key: [id], kind: documents, columns: [id, name, content, metadata, created_at]}
`
	// exportCopy is the statement that the connector reads with, over all rows at once.
	exportCopy = `COPY (SELECT row_to_json(r)::text FROM (SELECT t.id, t.name, t.content, t.metadata, t.created_at
		FROM bench.documents AS t WHERE t.tenant_id = '%s' ORDER BY t.id) AS r) TO STDOUT (FORMAT binary)`

	// exportLook is how often an export is looked at: the error of the times told.
	exportLook = 5 * time.Millisecond
)

// exporter measures the export service on servers of its own.
type exporter struct {
	out   io.Writer
	stack *devstack.Stack
	db    *pgxpool.Pool
	bus   *bus.Bus
	env   map[string]string
}

// Export measures archives of one tenant's documents beside the COPY of the same rows, and beside pg_dump.
func Export(ctx context.Context, o Options) error {
	dir, err := os.MkdirTemp("", "tenure-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	say(o.Out, "Starting PostgreSQL (fsync on), NATS JetStream and an S3 server...")
	stack, err := devstack.Start(ctx, devstack.Config{
		Dir: dir, HTTPAddr: "127.0.0.1:0", NATSAddr: "127.0.0.1:0", StripeAddr: "127.0.0.1:0", Log: slog.Default(),
	})
	if err != nil {
		return err
	}
	defer stack.Stop()
	x, err := newExporter(ctx, o.Out, stack)
	if err != nil {
		return err
	}
	defer x.close()
	var peaks []int64
	for _, gb := range []float64{o.ExportGB / 10, o.ExportGB} {
		peak, err := x.measure(ctx, gb)
		if err != nil {
			return err
		}
		peaks = append(peaks, peak)
	}
	say(o.Out, "")
	say(o.Out, "  peak memory: %d MiB at %.2g GB, %d MiB at %.2g GB", peaks[0]>>20, o.ExportGB/10, peaks[1]>>20, o.ExportGB)
	return nil
}

func newExporter(ctx context.Context, out io.Writer, stack *devstack.Stack) (*exporter, error) {
	x := &exporter{out: out, stack: stack, env: stack.Env()}
	path := filepath.Join(stack.Dir(), "datamap.yaml")
	if err := os.WriteFile(path, []byte(exportDataMap), 0o600); err != nil {
		return nil, err
	}
	x.env["TENURE_DATAMAP"], x.env["TENURE_LOG_LEVEL"], x.env["TENURE_HTTP_ADDR"] = path, "warn", "127.0.0.1:0"
	var err error
	if x.db, err = pgxpool.New(ctx, x.env["DATABASE_URL"]); err != nil {
		return nil, err
	}
	if _, err := x.db.Exec(ctx, exportTable); err != nil {
		return nil, err
	}
	if x.bus, err = bus.Connect(ctx, bus.Config{URL: x.env["NATS_URL"], Name: "bench"}); err != nil {
		return nil, err
	}
	return x, x.bus.EnsureTopology(ctx)
}

func (x *exporter) close() {
	x.bus.Close()
	x.db.Close()
}

// measure takes all figures of one size, and tells the exporter's peak memory.
func (x *exporter) measure(ctx context.Context, gb float64) (peak int64, err error) {
	tenant := fmt.Sprintf("bench-%d", int64(gb*1000))
	rows := int64(gb * 1e9 / exportRowBytes)
	say(x.out, "")
	say(x.out, "%d documents of some 6 KB, %.2g GB:", rows, gb)
	if err := x.fill(ctx, tenant, rows); err != nil {
		return 0, err
	}
	copied, took, err := x.copy(ctx, tenant)
	if err != nil {
		return 0, err
	}
	raw := float64(copied) / 1e6 / took.Seconds()
	say(x.out, "  COPY TO STDOUT       %6.0f MB/s", raw)
	if err := x.dump(ctx, copied, raw); err != nil {
		return 0, err
	}
	t, peak, err := x.export(ctx, tenant)
	if err != nil {
		return 0, err
	}
	written := float64(copied) / 1e6 / (t.written - t.begun).Seconds()
	whole := float64(copied) / 1e6 / (t.completed - t.begun).Seconds()
	say(x.out, "  export               %6.0f MB/s = %.2f of COPY: zip and upload; first part in S3 after %.0f ms; %.1f : 1",
		written, written/raw, (t.first-t.begun).Seconds()*1000, float64(copied)/float64(t.bytes))
	say(x.out, "  export, verified     %6.0f MB/s = %.2f of COPY: read back and unzipped as well", whole, whole/raw)
	return peak, nil
}

// fill writes rows in transactions of some MB, and lets the server clean up before anything is measured.
func (x *exporter) fill(ctx context.Context, tenant string, rows int64) error {
	const step = 5000
	for from := int64(1); from <= rows; from += step {
		if _, err := x.db.Exec(ctx, exportRows, tenant, from, min(from+step-1, rows)); err != nil {
			return err
		}
	}
	_, err := x.db.Exec(ctx, `VACUUM ANALYZE bench.documents`)
	if err == nil {
		_, err = x.db.Exec(ctx, `CHECKPOINT`)
	}
	return err
}

// copy reads the rows as fast as one connection can, and throws them away.
func (x *exporter) copy(ctx context.Context, tenant string) (bytes int64, took time.Duration, err error) {
	conn, err := x.db.Acquire(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Release()
	var n counter
	began := time.Now()
	_, err = conn.Conn().PgConn().CopyTo(ctx, &n, fmt.Sprintf(exportCopy, tenant))
	return int64(n), time.Since(began), err
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// dump lets pg_dump write the table's rows, if there is one of the server's version or later.
func (x *exporter) dump(ctx context.Context, bytes int64, raw float64) error {
	path, err := exec.LookPath("pg_dump")
	if err != nil {
		say(x.out, "  pg_dump is not installed")
		return nil //nolint:nilerr // the measurement goes on without it
	}
	var other int64
	const others = `SELECT count(*) FROM (SELECT DISTINCT tenant_id FROM bench.documents) AS tenants`
	if err := x.db.QueryRow(ctx, others).Scan(&other); err != nil || other > 1 {
		return err // it cannot pick one tenant's rows; the smaller size has told
	}
	began := time.Now()
	cmd := exec.CommandContext(ctx, path, "-Fc", "-Z1", "--data-only", "-t", "bench.documents", "-f", filepath.Join(x.stack.Dir(), "dump"), x.env["DATABASE_URL"])
	if out, err := cmd.CombinedOutput(); err != nil {
		say(x.out, "  pg_dump fails: %s", strings.TrimSpace(string(out)))
		return nil //nolint:nilerr // it was told, and the measurement goes on
	}
	rate := float64(bytes) / 1e6 / time.Since(began).Seconds()
	say(x.out, "  pg_dump -Fc -Z1      %6.0f MB/s = %.2f of COPY", rate, rate/raw)
	return nil
}

// times of an export, since it was asked for.
type times struct {
	begun, first, written, completed time.Duration
	bytes                            int64
}

// export runs one in a process of its own, so that the exporter's memory can be told from that of the servers.
func (x *exporter) export(ctx context.Context, tenant string) (t times, peak int64, err error) {
	self, err := os.Executable()
	if err != nil {
		return t, 0, err
	}
	cmd := exec.CommandContext(ctx, self, "bench", "exporter")
	cmd.Env = os.Environ()
	for name, value := range x.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Start(); err != nil {
		return t, 0, err
	}
	t, err = x.follow(ctx, tenant)
	stopErr := cmd.Process.Signal(os.Interrupt)
	if waitErr := cmd.Wait(); err == nil {
		err = errors.Join(stopErr, waitErr)
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		peak = usage.Maxrss << 10 // Linux tells KiB
	}
	return t, peak, err
}

// follow asks for an export and watches it to its end.
func (x *exporter) follow(ctx context.Context, tenant string) (t times, err error) {
	e, err := events.New(&events.ExportRequested{Change: events.Change{From: "active", To: "exporting"}, ExportID: tenant}, tenant)
	if err != nil {
		return t, err
	}
	e.ID, e.Source, e.Sequence, e.Actor, e.CorrelationID, e.CausationID = tenant, "tenure/lifecycle", 1, "operator:bench", tenant, tenant
	if err := x.bus.Publish(ctx, e); err != nil {
		return t, err
	}
	began := time.Now()
	tick := time.NewTicker(exportLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return t, ctx.Err()
		case <-tick.C:
		}
		status, reason, err := x.status(ctx, tenant, &t)
		if err != nil {
			return t, err
		}
		now := time.Since(began)
		if status != "" && status != "pending" && t.begun == 0 {
			t.begun = now
		}
		if t.first == 0 && x.uploaded() {
			t.first = now
		}
		if status == "verifying" && t.written == 0 {
			t.written = now
		}
		switch status {
		case "completed":
			t.completed = now
			return t, nil
		case "failed":
			return t, fmt.Errorf("the export failed: %s", reason)
		}
	}
}

// status is "" until the export is known.
func (x *exporter) status(ctx context.Context, tenant string, t *times) (status, reason string, err error) {
	err = x.db.QueryRow(ctx, `SELECT status, error, bytes FROM export.jobs WHERE export_id = $1`, tenant).Scan(&status, &reason, &t.bytes)
	var missing interface{ SQLState() string }
	if errors.Is(err, pgx.ErrNoRows) || errors.As(err, &missing) && missing.SQLState() == "42P01" { // undefined_table: it is starting
		return "", "", nil
	}
	return status, reason, err
}

// uploaded looks whether the S3 server has a part of an upload on its disk.
func (x *exporter) uploaded() bool {
	found := errors.New("found")
	const smallest = 1 << 20
	err := filepath.WalkDir(filepath.Join(x.stack.Dir(), "s3", "objects", x.env["TENURE_S3_BUCKET"], ".sgwtmp"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // it comes and goes while it is looked at
		}
		if info, err := d.Info(); err == nil && info.Size() >= smallest {
			return found
		}
		return nil
	})
	return errors.Is(err, found)
}
