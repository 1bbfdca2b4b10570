package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"mime"
	"net/http"
	"strings"
	"time"
)

// pollInterval is how often watch asks where the server does not stream.
const pollInterval = 250 * time.Millisecond

// watched is what goes on by itself, and ends.
type watched interface{ Ended() bool }

// watch yields each change of what path shows until it has ended, or ctx has. An error comes once, as the last.
func watch[T watched](ctx context.Context, c *Client, path string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			last, more := stream(ctx, c, path, yield)
			if !more || last.Ended() {
				return
			}
			// The stream ended early, or there is none: ask, which also tells whether the server is there at all.
			now, err := get[T](ctx, c, path, nil)
			if !yield(now, err) || err != nil || now.Ended() {
				return
			}
			select {
			case <-ctx.Done():
				yield(now, ctx.Err())
				return
			case <-time.After(pollInterval):
			}
		}
	}
}

// stream yields what the server sends, and returns the last of it and whether the caller wants more.
func stream[T watched](ctx context.Context, c *Client, path string, yield func(T, error) bool) (last T, more bool) {
	req, err := c.request(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		yield(last, err)
		return last, false
	}
	req.Header.Set("Accept", "text/event-stream")
	res, err := c.HTTP.Do(req)
	if err != nil {
		return last, true
	}
	defer res.Body.Close()
	if kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); res.StatusCode != http.StatusOK || kind != "text/event-stream" {
		return last, true
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data:")
		if !ok {
			continue
		}
		var next T
		if err := json.Unmarshal([]byte(data), &next); err != nil {
			yield(next, fmt.Errorf("read %s: %w", path, err))
			return next, false
		}
		last = next
		if !yield(last, nil) {
			return last, false
		}
	}
	return last, true
}
