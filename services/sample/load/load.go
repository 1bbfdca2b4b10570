// Package load uses a running sample as its customers' programs do, at a steady rate, and holds it to account: which
// requests failed, how long each took, and whether everything that was written is there, once.
//
//	l := load.New(load.Config{URL: url, Tenant: "acme", Workers: 8, Rate: 100})
//	err := l.Fill(ctx, 1<<30, progress)
//	err = l.Start(ctx)
//	... // change plans
//	l.Stop()
//	report, err := l.Report(), l.Check(ctx)
package load

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Config of a load. Hold alone may be left out.
type Config struct {
	// URL is where the sample is: "http://127.0.0.1:8080".
	URL    string
	Tenant string
	// Workers send Rate requests per second between them. A third each writes a document, searches, and reads a page.
	Workers, Rate int
	// Hold is how long a search goes on running after it has found what it looks for: there are always some then that
	// began before a change and end after it.
	Hold time.Duration
}

// Load is one tenant's program. Its methods may be called by one goroutine; the workers are its own.
type Load struct {
	cfg     Config
	http    *http.Client
	begin   time.Time
	stop    context.CancelFunc
	workers sync.WaitGroup
	filled  int64  // documents made by Fill
	first   string // the last document before those that the workers write

	mu      sync.Mutex
	written []string // the documents' ids
	report  Report
}

// Report is what became of requests.
type Report struct {
	// Took is how long each took. It counts from when the request was due: one that could not be sent in time because
	// those before it hung was late all the same.
	Took []time.Duration
	// Failed counts those without an answer, those with a status of 400 or above, and searches that did not find what is
	// there; First is why the first of them failed.
	Failed int
	First  error
}

const (
	// documentBytes and portion shape what Fill makes: not more documents than the plans allow, and not more in one request
	// than takes a second or two.
	documentBytes = 32 << 10
	portion       = 16 << 20
	// searched is in the name of all that Fill makes.
	searched = "seed"
	// found is how many documents a search returns at most.
	found = 20
)

// New makes a load for a tenant without documents.
func New(cfg Config) *Load {
	return &Load{cfg: cfg, http: &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{MaxIdleConnsPerHost: cfg.Workers},
	}}
}

// Fill makes documents of so many bytes in all, and tells how many bytes there are so far.
func (l *Load) Fill(ctx context.Context, bytes int64, progress func(done int64)) error {
	for all := bytes / documentBytes; l.filled < all; {
		n := min(portion/documentBytes, all-l.filled)
		seed := map[string]int64{"documents": n, "bytes_each": documentBytes}
		if err := l.call(ctx, http.MethodPost, "/seed", seed, nil); err != nil {
			return err
		}
		l.filled += n
		progress(l.filled * documentBytes)
	}
	return nil
}

// Start lets the workers begin on a tenant that was filled. They go on until Stop, or until ctx ends.
func (l *Load) Start(ctx context.Context) error {
	var err error
	if l.first, err = l.write(ctx, "the first"); err != nil {
		return err
	}
	ctx, l.stop = context.WithCancel(ctx)
	l.begin = time.Now()
	for i := range l.cfg.Workers {
		l.workers.Go(func() { l.work(ctx, i) })
	}
	return nil
}

// Stop lets the workers finish what they have begun.
func (l *Load) Stop() {
	l.stop()
	l.workers.Wait()
}

// Report returns what became of the requests that have ended since the call before.
func (l *Load) Report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	report := l.report
	l.report = Report{}
	return report
}

// Check looks for every document that a worker has written. It must be there once, and nothing else may be.
func (l *Load) Check(ctx context.Context) error {
	there := map[string]int{}
	for after := l.first; after != ""; {
		p, err := l.read(ctx, after, 1000)
		if err != nil {
			return err
		}
		for _, d := range p.Items {
			there[d.ID]++
		}
		after = p.NextCursor
	}
	for _, id := range l.written {
		if there[id] != 1 {
			return fmt.Errorf("document %s was written once and is there %d times", id, there[id])
		}
		delete(there, id)
	}
	if len(there) > 0 {
		return fmt.Errorf("%d documents are there that nobody was told of", len(there))
	}
	return nil
}

// Written is how many documents the workers have written; call it after Stop.
func (l *Load) Written() int { return len(l.written) }
