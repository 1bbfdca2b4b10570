// Package remotetest runs servers of stores for tests, and breaks what stands between them and a connector.
package remotetest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
)

// Flaky forwards to a server and answers every n-th request with 503 itself. It answers its URL.
func Flaky(t testing.TB, target string, n int64) string {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(to)
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1)%n == 0 {
			http.Error(w, "injected", http.StatusServiceUnavailable)
			return
		}
		// Read whole, as a proxy that streams it may break off when the server answers before it has all.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}
