package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// machine is what the parts can do by themselves, per second.
type machine struct{ syncs, commits, publishes float64 }

const (
	probeTime   = 3 * time.Second
	connections = 32
)

func (m machine) print(w io.Writer) {
	say(w, "")
	say(w, "This machine:")
	say(w, "  fdatasync           %8.0f/s", m.syncs)
	say(w, "  commits, %d conns   %8.0f/s", connections, m.commits)
	say(w, "  JetStream publishes %8.0f/s (async, 600 bytes)", m.publishes)
	say(w, "")
}

func measureMachine(ctx context.Context, dir string, env map[string]string) (m machine, err error) {
	if m.syncs, err = measureSyncs(dir); err != nil {
		return m, err
	}
	if m.commits, err = measureCommits(ctx, env["DATABASE_URL"]); err != nil {
		return m, err
	}
	m.publishes, err = measurePublishes(ctx, env["NATS_URL"])
	return m, err
}

func measureSyncs(dir string) (float64, error) {
	f, err := os.Create(filepath.Join(dir, "probe"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	block := make([]byte, 4096)
	n, start := 0, time.Now()
	for ; time.Since(start) < probeTime; n++ {
		if _, err := f.WriteAt(block, int64(n%1024)*4096); err != nil {
			return 0, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(start).Seconds(), nil
}

func measureCommits(ctx context.Context, url string) (float64, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return 0, err
	}
	cfg.MaxConns = connections
	db, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	if _, err := db.Exec(ctx, `CREATE TABLE public.probe AS SELECT id, 0 AS n FROM generate_series(1, 10000) AS id;
		ALTER TABLE public.probe ADD PRIMARY KEY (id)`); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	var n atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for c := range connections {
		wg.Go(func() {
			for i := c; ctx.Err() == nil; i += connections {
				if _, err := db.Exec(ctx, `UPDATE public.probe SET n = n + 1 WHERE id = $1`, i%10000+1); err == nil {
					n.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return float64(n.Load()) / time.Since(start).Seconds(), nil
}

func measurePublishes(ctx context.Context, url string) (float64, error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4096))
	if err != nil {
		return 0, err
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "PROBE", Subjects: []string{"probe"}}); err != nil {
		return 0, err
	}
	defer func() { _ = js.DeleteStream(context.WithoutCancel(ctx), "PROBE") }()
	body := make([]byte, 600)
	n, start := 0, time.Now()
	for ; time.Since(start) < probeTime; n++ {
		if _, err := js.PublishAsync("probe", body, jetstream.WithStallWait(patience)); err != nil {
			return 0, fmt.Errorf("probe JetStream: %w", err)
		}
	}
	<-js.PublishAsyncComplete()
	return float64(n) / time.Since(start).Seconds(), nil
}
