package app_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// spoilingProxy stands before an S3 server that gives archives back otherwise than they were sent, and has no checksums
// by which the SDK would notice.
func spoilingProxy(t *testing.T, endpoint string) string {
	t.Helper()
	target, err := url.Parse(endpoint)
	check(t, err)
	server := httptest.NewServer(&httputil.ReverseProxy{
		// The host stays as it was signed.
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Method == http.MethodGet && strings.HasSuffix(r.Request.URL.Path, ".zip") {
				r.Body = spoiled{r.Body}
				for name := range r.Header {
					if strings.HasPrefix(name, "X-Amz-Checksum") {
						r.Header.Del(name)
					}
				}
			}
			return nil
		},
	})
	t.Cleanup(server.Close)
	return server.URL
}

// spoiled changes a bit of what is read.
type spoiled struct{ io.ReadCloser }

func (s spoiled) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if n > 0 {
		p[n/2] ^= 1
	}
	return n, err
}
