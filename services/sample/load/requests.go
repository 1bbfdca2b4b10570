package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// work sends every request of one worker when it is due, or as soon as the one before it has ended.
func (l *Load) work(ctx context.Context, worker int) {
	interval := time.Second / time.Duration(l.cfg.Rate)
	cursor := ""
	for n := worker; ; n += l.cfg.Workers {
		due := l.begin.Add(time.Duration(n) * interval)
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return
		}
		// The end of the load interrupts no request: one that was broken off would look like a failed one.
		err := l.request(context.WithoutCancel(ctx), n, &cursor)
		l.note(time.Since(due), err)
	}
}

// request is the n-th of all; the kinds take turns.
func (l *Load) request(ctx context.Context, n int, cursor *string) error {
	switch n % 3 {
	case 0:
		id, err := l.write(ctx, fmt.Sprintf("note %d", n))
		if err != nil {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.written = append(l.written, id)
		return nil
	case 1:
		return l.search(ctx)
	}
	// A worker reads through all documents, a few at a time, and begins again at the end.
	p, err := l.read(ctx, *cursor, 3)
	if err != nil {
		return err
	}
	*cursor = p.NextCursor
	return nil
}

func (l *Load) note(took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report.Took = append(l.report.Took, took)
	if err == nil {
		return
	}
	if l.report.Failed++; l.report.First == nil {
		l.report.First = err
	}
}

type document struct {
	ID string `json:"id"`
}

func (l *Load) write(ctx context.Context, name string) (id string, err error) {
	var d document
	err = l.call(ctx, http.MethodPost, "/documents", map[string]string{"name": name, "content": "about " + name}, &d)
	return d.ID, err
}

// search wants what is there to be found: a search that misses rows on the move has failed too.
func (l *Load) search(ctx context.Context) error {
	var out struct {
		Results []document `json:"results"`
	}
	query := map[string]any{"q": searched, "hold_ms": l.cfg.Hold.Milliseconds()}
	if err := l.call(ctx, http.MethodPost, "/query", query, &out); err != nil {
		return err
	}
	if want := min(found, l.filled); len(out.Results) != int(want) {
		return fmt.Errorf("a search found %d documents, not %d", len(out.Results), want)
	}
	return nil
}

type page struct {
	Items      []document `json:"items"`
	NextCursor string     `json:"next_cursor"`
}

func (l *Load) read(ctx context.Context, after string, limit int) (p page, err error) {
	err = l.call(ctx, http.MethodGet, fmt.Sprintf("/documents?limit=%d&cursor=%s", limit, url.QueryEscape(after)), nil, &p)
	return p, err
}

// call sends one request, once: a customer's program that tries again would hide what is measured here.
func (l *Load) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, l.cfg.URL+"/sample/"+url.PathEscape(l.cfg.Tenant)+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := l.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body) // all of it: half an answer is none, and the connection is used again
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if res.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s answers %s: %s", method, path, res.Status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}
