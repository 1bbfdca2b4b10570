package e2e

import (
	"archive/zip"
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"tenure/services/export/verify"
	"tenure/shared/client"
	"tenure/shared/testkit"
)

// seed fills the sample SaaS with a tenant's rows, as soon as its gate has heard that the tenant is in.
func (s *system) seed(tenant string, documents, bytesEach, vectors int) {
	s.t.Helper()
	body, err := json.Marshal(map[string]int{"documents": documents, "bytes_each": bytesEach, "vectors": vectors})
	require.NoError(s.t, err)
	testkit.WaitFor(s.t, time.Minute, "the rows of "+tenant, func() bool {
		status, answer := s.call("POST", s.at.HTTP+"/sample/"+tenant+"/seed", string(body))
		if status != http.StatusServiceUnavailable {
			require.Equal(s.t, http.StatusOK, status, answer)
		}
		return status == http.StatusOK
	})
}

// exported waits until an export has ended, which must be well, through kills of the system.
func (s *system) exported(id string) client.Export {
	s.t.Helper()
	var export client.Export
	testkit.WaitFor(s.t, 2*time.Minute, "the export "+id, func() bool {
		var err error
		export, err = s.api.Export(s.context(20*time.Second), id)
		return err == nil && export.Ended()
	})
	require.Equal(s.t, "completed", export.Status, "%+v", export)
	return export
}

// download saves the archive of an export, verifies it as its owner would, and opens it.
func (s *system) download(export client.Export) *opened {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), export.ID+".zip")
	file, err := os.Create(path)
	require.NoError(s.t, err)
	defer file.Close()
	res, err := s.get(export.DownloadURL)
	require.NoError(s.t, err)
	defer res.Body.Close()
	require.Equal(s.t, http.StatusOK, res.StatusCode)
	size, err := io.Copy(file, res.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, export.Bytes, size)
	report, err := verify.File(path)
	require.NoError(s.t, err)
	reader, err := zip.OpenReader(path)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = reader.Close() })
	return &opened{t: s.t, Report: report, zip: reader}
}

// get follows a link, which needs no token.
func (s *system) get(link string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(s.context(time.Minute), http.MethodGet, link, nil)
	if err != nil {
		return nil, err
	}
	return s.http.Do(req)
}

// opened is an archive that has been verified.
type opened struct {
	verify.Report
	t   *testing.T
	zip *zip.ReadCloser
}

// of are the files with the rows of a kind.
func (o *opened) of(kind string) []*zip.File {
	return slices.DeleteFunc(slices.Clone(o.zip.File), func(f *zip.File) bool { return !strings.HasPrefix(f.Name, kind+"/") })
}

// names are those of all files.
func (o *opened) names() []string {
	names := make([]string, len(o.zip.File))
	for i, f := range o.zip.File {
		names[i] = f.Name
	}
	return names
}

// rows are those of a kind, a line of JSON each, sorted.
func (o *opened) rows(kind string) (rows []string) {
	o.t.Helper()
	for _, f := range o.of(kind) {
		r, err := f.Open()
		require.NoError(o.t, err)
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			rows = append(rows, lines.Text())
		}
		require.NoError(o.t, lines.Err())
		require.NoError(o.t, r.Close())
	}
	slices.Sort(rows)
	return rows
}

// ids are the ids of the rows of a kind, sorted.
func (o *opened) ids(kind string) []string {
	o.t.Helper()
	ids := o.rows(kind)
	for i, row := range ids {
		var r struct {
			ID string `json:"id"`
		}
		require.NoError(o.t, json.Unmarshal([]byte(row), &r))
		ids[i] = r.ID
	}
	slices.Sort(ids)
	return ids
}

// packed are the files of a kind as they stand in the archive, compressed.
func (o *opened) packed(kind string) map[string][]byte {
	o.t.Helper()
	packed := map[string][]byte{}
	for _, f := range o.of(kind) {
		r, err := f.OpenRaw()
		require.NoError(o.t, err)
		content, err := io.ReadAll(r)
		require.NoError(o.t, err)
		packed[f.Name] = content
	}
	return packed
}

// watermark is the state of a store that an archive is of.
type watermark struct {
	Name     string `json:"name"`
	Position string `json:"position"`
}

// watermarks are those of the manifest.
func (o *opened) watermarks() []watermark {
	o.t.Helper()
	f, err := o.zip.Open("manifest.json")
	require.NoError(o.t, err)
	defer f.Close()
	var m struct {
		Stores []watermark `json:"stores"`
	}
	require.NoError(o.t, json.NewDecoder(f).Decode(&m))
	return m.Stores
}

// objects are the keys below a prefix of the bucket, and uploads those that were begun and neither completed nor aborted.
func (s *system) objects(ctx context.Context, prefix string) (objects, uploads []string) {
	s.t.Helper()
	bucket := s.bucket(ctx)
	pages := awss3.NewListObjectVersionsPaginator(bucket.Client, &awss3.ListObjectVersionsInput{Bucket: &bucket.Name, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		require.NoError(s.t, err)
		for _, v := range page.Versions {
			objects = append(objects, *v.Key)
		}
		for _, m := range page.DeleteMarkers {
			objects = append(objects, *m.Key+" (delete marker)")
		}
	}
	unfinished, err := bucket.Client.ListMultipartUploads(ctx, &awss3.ListMultipartUploadsInput{Bucket: &bucket.Name, Prefix: &prefix})
	require.NoError(s.t, err)
	for _, u := range unfinished.Uploads {
		uploads = append(uploads, *u.Key)
	}
	return objects, uploads
}
