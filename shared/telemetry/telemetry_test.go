package telemetry_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	"tenure/shared/telemetry"
	"tenure/shared/testkit"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestTraceParentTravelsAsAString(t *testing.T) {
	ctx := telemetry.WithTraceParent(t.Context(), parent)
	if got := telemetry.TraceParent(ctx); got != parent {
		t.Errorf("traceparent %q, want %q", got, parent)
	}
	for _, none := range []string{"", "nonsense", "00-0-0-01"} {
		if got := telemetry.TraceParent(telemetry.WithTraceParent(t.Context(), none)); got != "" {
			t.Errorf("%q became %q", none, got)
		}
	}
}

func TestSpansGoToTheCollector(t *testing.T) {
	bodies := make(chan string, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			in, _ = gzip.NewReader(in)
		}
		body, _ := io.ReadAll(in)
		if r.URL.Path == "/v1/traces" {
			bodies <- string(body)
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(collector.Close)
	tel, err := telemetry.Start(t.Context(), "billing", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL + "/"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, span := otel.Tracer("test").Start(telemetry.WithTraceParent(t.Context(), parent), "charge the card")
	if got := telemetry.TraceParent(ctx); got == parent || !strings.HasPrefix(got, parent[:36]) {
		t.Errorf("the span's traceparent is %q, want the same trace and another span", got)
	}
	span.End()
	tel.Shutdown(t.Context())
	if body := testkit.Receive(t, 10*time.Second, bodies); !strings.Contains(body, "charge the card") || !strings.Contains(body, "billing") {
		t.Errorf("the collector got %q", body)
	}
}

func TestMetricsAreForPrometheus(t *testing.T) {
	tel, err := telemetry.Start(t.Context(), "billing", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tel.Shutdown(t.Context())
	meter := otel.Meter("test")
	charges, err := meter.Int64Counter("tenure.charges")
	if err != nil {
		t.Fatal(err)
	}
	charges.Add(t.Context(), 3)
	took, err := meter.Float64Histogram("tenure.commit.duration", metric.WithUnit("s"))
	if err != nil {
		t.Fatal(err)
	}
	took.Record(t.Context(), 0.0007)

	w := httptest.NewRecorder()
	tel.MetricsHandler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	for _, want := range []string{
		"tenure_charges_total 3", `tenure_commit_duration_seconds_bucket{le="0.001"} 1`, `service_name="billing"`, "go_goroutines", "process_open_fds",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%q is missing", want)
		}
	}
	if t.Failed() {
		t.Log(w.Body)
	}
}

func TestBadSettingsAreNamed(t *testing.T) {
	_, err := telemetry.Start(t.Context(), "billing", map[string]string{"TENURE_LOG_LEVEL": "loud"})
	if err == nil || !strings.Contains(err.Error(), "LogLevel") && !strings.Contains(err.Error(), "TENURE_LOG_LEVEL") {
		t.Errorf("%v, want an error that names the setting", err)
	}
}
