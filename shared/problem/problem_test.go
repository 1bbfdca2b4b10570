package problem_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/google/go-cmp/cmp"

	"tenure/shared/problem"
)

func TestMain(m *testing.M) {
	problem.Install()
	os.Exit(m.Run())
}

type input struct {
	Limit int `query:"limit" minimum:"1"`
	Body  struct {
		Plan string `json:"plan" enum:"free,starter"`
	}
}

// newServer has one route whose handler answers err.
func newServer(err error) http.Handler {
	mux := http.NewServeMux()
	cfg := huma.DefaultConfig("test", "1")
	cfg.CreateHooks = nil // as the runner's
	api := humago.New(mux, cfg)
	huma.Register(api, huma.Operation{Method: "POST", Path: "/things", OperationID: "make", MaxBodyBytes: 200},
		func(context.Context, *input) (*struct{}, error) { return nil, err })
	return problem.Routes(mux)
}

func TestEveryRefusalHasItsCode(t *testing.T) {
	conflict := problem.New(http.StatusConflict, "invalid_transition", "a deleted tenant cannot upgrade").
		With("violations", []string{"a"}).With("allowed_commands", []string{"reactivate"})
	for _, test := range []struct {
		name         string
		method, path string
		body         string
		err          error
		status       int
		code         string
		want         map[string]any // further members
	}{
		{name: "malformed", body: `{"plan":`, status: 400, code: "malformed_json"},
		{name: "no body", body: ``, status: 400, code: "malformed_json"},
		{
			name: "invalid", path: "/things?limit=0", body: `{"plan":"gold"}`, status: 422, code: "validation_failed",
			want: map[string]any{"errors": []any{
				map[string]any{"location": "query.limit", "message": "expected number >= 1"},
				map[string]any{"location": "body.plan", "message": `expected value to be one of "free, starter"`},
			}},
		},
		{name: "large", body: `{"plan":"` + strings.Repeat("x", 300) + `"}`, status: 413, code: "too_large"},
		{
			name: "the handler's own", body: `{"plan":"free"}`, err: fmt.Errorf("upgrade: %w", conflict), status: 409, code: "invalid_transition",
			want: map[string]any{"violations": []any{"a"}, "allowed_commands": []any{"reactivate"}, "detail": "a deleted tenant cannot upgrade"},
		},
		{
			name: "a fault", body: `{"plan":"free"}`, err: errors.New("password=hunter2"), status: 500, code: "internal",
			want: map[string]any{"errors": nil, "detail": "the service failed; the error is in its log"},
		},
		{name: "huma's conflict", body: `{"plan":"free"}`, err: huma.Error409Conflict("no"), status: 409, code: "conflict"},
		{name: "unknown path", path: "/nothing", status: 404, code: "not_found"},
		{name: "wrong method", method: "DELETE", status: 405, code: "method_not_allowed", want: map[string]any{"detail": "this path takes POST"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), or(test.method, "POST"), or(test.path, "/things"), strings.NewReader(test.body))
			w := httptest.NewRecorder()
			newServer(test.err).ServeHTTP(w, r)
			got := decode(t, w)
			want := map[string]any{"status": float64(test.status), "code": test.code, "title": http.StatusText(test.status)}
			for k, v := range test.want {
				want[k] = v
			}
			for k, v := range want {
				if diff := cmp.Diff(v, got[k]); diff != "" {
					t.Errorf("%s (-want +got): %s", k, diff)
				}
			}
			if w.Code != test.status {
				t.Errorf("status %d, want %d", w.Code, test.status)
			}
			if strings.Contains(w.Body.String(), "hunter2") || strings.Contains(w.Body.String(), "gold") {
				t.Errorf("it tells too much: %s", w.Body)
			}
		})
	}
}

// A reader that cuts the body off looks like a fault of the server to huma.
func TestCutOffBodyIsTooLarge(t *testing.T) {
	limited := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 20)
		newServer(nil).ServeHTTP(w, r)
	})
	w := httptest.NewRecorder()
	limited.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", "/things", strings.NewReader(`{"plan":"`+strings.Repeat("x", 50)+`"}`)))
	if got := decode(t, w); w.Code != http.StatusRequestEntityTooLarge || got["code"] != "too_large" {
		t.Errorf("%d %v", w.Code, got)
	}
}

func TestResolverMayAnswerAProblem(t *testing.T) {
	err := huma.NewError(http.StatusUnprocessableEntity, "validation failed", problem.New(http.StatusForbidden, "forbidden", ""))
	if err.GetStatus() != http.StatusForbidden {
		t.Errorf("status %d, want the problem's own", err.GetStatus())
	}
}

func TestWriteAnswersPlainHandlers(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{problem.New(http.StatusGone, "gone", "").With("b", 2).With("a", 1), `{"title":"Gone","status":410,"code":"gone","a":1,"b":2}`},
		{errors.New("secret"), `{"title":"Internal Server Error","status":500,"detail":"the service failed; the error is in its log","code":"internal"}`},
		{problem.New(http.StatusGone, "gone", "").With("bad", func() {}), `{"title":"Internal Server Error","status":500,"detail":"the service failed; the error is in its log","code":"internal"}`},
	} {
		w := httptest.NewRecorder()
		problem.Write(w, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil), test.err)
		decode(t, w)
		if got := strings.TrimSpace(w.Body.String()); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

// Clients that check answers against the description must accept members that only some codes have.
func TestSchemaAllowsFurtherMembers(t *testing.T) {
	w := httptest.NewRecorder()
	newServer(nil).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/openapi.json", nil))
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				AdditionalProperties any            `json:"additionalProperties"`
				Properties           map[string]any `json:"properties"`
			}
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	schema := doc.Components.Schemas["Error"]
	if schema.AdditionalProperties != true || schema.Properties["code"] == nil {
		t.Errorf("the schema is %+v", schema)
	}
}

func decode(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	if ct := w.Header().Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("content type %q", ct)
	}
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return got
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
