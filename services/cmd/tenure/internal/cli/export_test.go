package cli_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// zipped is an archive of the usage, whose manifest says that it has rows rows. It has one.
func zipped(t *testing.T, rows int) []byte {
	t.Helper()
	const usage = `{"id":"1","metric":"queries"}` + "\n"
	sum := sha256.Sum256([]byte(usage))
	manifest := fmt.Sprintf(`{"export_id":"exp_1","tenant_id":"acme","expected_counts":{"usage":%[1]d},"actual_counts":{"usage":%[1]d},
		"files":[{"name":"usage.ndjson","store":"app","rows":%[1]d,"bytes":%[2]d,"sha256":"%[3]x"}]}`, rows, len(usage), sum)
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range [][2]string{{"usage.ndjson", usage}, {"manifest.json", manifest}} {
		entry, err := w.Create(f[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(entry, f[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// exporter is a server with one export that is done after its stream, and remembers what was asked for.
type exporter struct {
	archive []byte
	sha256  string
	asked   map[string]any
	path    string
}

func (e *exporter) serve(t *testing.T) (flags []string) {
	t.Helper()
	mux := http.NewServeMux()
	ask := func(w http.ResponseWriter, r *http.Request) {
		e.path = r.URL.Path
		if err := json.NewDecoder(r.Body).Decode(&e.asked); err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, `{"export_id":"exp_1","status":"pending"}`)
	}
	mux.HandleFunc("POST /v1/tenants/acme/export", ask)
	mux.HandleFunc("POST /v1/tenants/acme/subject-exports", ask)
	mux.HandleFunc("GET /files/exp_1.zip", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(e.archive) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	mux.HandleFunc("GET /v1/exports/exp_1", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, shown := range []string{
			`{"export_id":"exp_1","status":"pending","error":"it waits for the files of crm"}`,
			`{"export_id":"exp_1","status":"running","progress":{"done":50,"total":100,"bytes":500,"rows_per_second":25,"bytes_per_second":2500000,"eta_seconds":2}}`,
			fmt.Sprintf(`{"export_id":"exp_1","status":"completed","bytes":%d,"sha256":%q,"download_url":"%s/files/exp_1.zip"}`, len(e.archive), e.sha256, server.URL),
		} {
			fmt.Fprintf(w, "data: %s\n\n", shown)
		}
	})
	return []string{"--url", server.URL, "--token", "dev"}
}

func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func TestAnExportIsFollowedDownloadedAndVerified(t *testing.T) {
	archive := zipped(t, 1)
	e := &exporter{archive: archive, sha256: sumOf(archive)}
	path := filepath.Join(t.TempDir(), "acme.zip")
	args := []string{"export", "acme", "--since", "exp_0", "--include", "usage,vectors", "--encrypt-to", "age1x", "--parquet", "usage", "--out", path}
	out, err := run(t, append(args, e.serve(t)...)...)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"  pending it waits for the files of crm\n", "  running\n", "  50 of 100 rows, 2.5 MB/s, 2s left\n", "  completed\n", "export exp_1: completed\n", path + ", verified\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, archive) {
		t.Errorf("the file has %d bytes, %v", len(got), err)
	}
	if asked := fmt.Sprint(e.asked); asked != "map[encrypt_to:age1x include:[usage vectors] parquet:[usage] since:exp_0]" {
		t.Errorf("it asked for %s", asked)
	}
}

func TestADownloadThatIsNotTheArchiveIsNotKept(t *testing.T) {
	whole, torn := zipped(t, 1), zipped(t, 2)
	for name, e := range map[string]*exporter{
		"another file": {archive: whole, sha256: sumOf(torn)},
		"not whole":    {archive: torn, sha256: sumOf(torn)},
	} {
		dir := t.TempDir()
		args := []string{"export", "acme", "--out", filepath.Join(dir, "acme.zip")}
		if _, err := run(t, append(args, e.serve(t)...)...); err == nil || !strings.Contains(err.Error(), "ask for a new export") {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("%s: %v is left, %v", name, left, err)
		}
	}
}

func TestAnExportOfOnePerson(t *testing.T) {
	e := &exporter{}
	if _, err := run(t, append([]string{"export", "acme", "--subject", "ada@example.com"}, e.serve(t)...)...); err != nil {
		t.Fatal(err)
	}
	if e.path != "/v1/tenants/acme/subject-exports" || e.asked["subject"] != "ada@example.com" {
		t.Errorf("it asked %s for %v", e.path, e.asked)
	}
	if _, err := run(t, "export", "acme", "--subject", "x", "--since", "exp_0"); err == nil {
		t.Error("what an export of one person cannot do was taken")
	}
}

func TestAnIdentityThatIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "acme.zip")
	if err := os.WriteFile(path, zipped(t, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run(t, "verify", path); err != nil || !strings.Contains(out, "the archive is whole") {
		t.Errorf("printed %q, %v", out, err)
	}
	if _, err := run(t, "verify", path, "--identity", path); err == nil || !strings.Contains(err.Error(), "age-keygen") {
		t.Errorf("got %v", err)
	}
	if _, err := run(t, "verify", path, "--identity", path+".none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
