// Package telemetry is what a process says about itself: logs by slog, figures for Prometheus, traces by
// OpenTelemetry that follow a command through HTTP, the log and the bus.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Settings of a process's logs and traces.
type Settings struct {
	Env string `env:"TENURE_ENV" envDefault:"production"`
	// LogLevel is debug, info, warn or error.
	LogLevel slog.Level `env:"TENURE_LOG_LEVEL" envDefault:"info"`
	// LogFormat is json or text; unset, text in development and else json.
	LogFormat string `env:"TENURE_LOG_FORMAT"`
	// Endpoint is where traces go, by OTLP over HTTP; unset, none are made.
	Endpoint string `env:"OTEL_EXPORTER_OTLP_ENDPOINT"`
	// TracesEndpoint is the same as a full URL; it wins.
	TracesEndpoint string `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"`
}

// shutdownTimeout bounds the sending of the last traces.
const shutdownTimeout = 5 * time.Second

// secondBuckets are the bounds of histograms in seconds: from a database commit to a long saga.
var secondBuckets = []float64{
	0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
}

// Telemetry is a process's logs, figures and traces.
type Telemetry struct {
	registry *prometheus.Registry
	shutdown []func(context.Context) error
}

// Start sets up the process: slog's default logger, and OpenTelemetry's global providers and propagator. environ is
// read as Settings; name is the service's. The OTEL_ variables of the OpenTelemetry SDK (headers, sampler, resource
// attributes) work as its documentation says. A collector that is away costs traces, never the start.
func Start(ctx context.Context, name string, environ map[string]string) (*Telemetry, error) {
	var s Settings
	if err := env.ParseWithOptions(&s, env.Options{Environment: environ}); err != nil {
		return nil, fmt.Errorf("read the telemetry's settings: %w", err)
	}
	handler, err := s.logHandler(os.Stderr)
	if err != nil {
		return nil, err
	}
	slog.SetDefault(slog.New(handler).With("service", name))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { slog.Warn("telemetry", "error", err) }))
	otel.SetTextMapPropagator(propagation.TraceContext{})

	about, err := resource.Merge(resource.Default(), resource.NewSchemaless(
		attribute.String("service.name", name), attribute.String("service.namespace", "tenure")))
	if err != nil {
		return nil, fmt.Errorf("describe the process: %w", err)
	}
	t := &Telemetry{registry: prometheus.NewRegistry()}
	if err := errors.Join(t.startMetrics(about), t.startTraces(ctx, about, s)); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Telemetry) startMetrics(about *resource.Resource) error {
	t.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(t.registry), otelprometheus.WithoutScopeInfo())
	if err != nil {
		return fmt.Errorf("export figures: %w", err)
	}
	provider := sdkmetric.NewMeterProvider(
		sdkmetric.WithReader(exporter),
		sdkmetric.WithResource(about),
		// The SDK's own buckets are made for milliseconds.
		sdkmetric.WithView(sdkmetric.NewView(
			sdkmetric.Instrument{Kind: sdkmetric.InstrumentKindHistogram, Unit: "s"},
			sdkmetric.Stream{Aggregation: sdkmetric.AggregationExplicitBucketHistogram{Boundaries: secondBuckets}},
		)),
	)
	otel.SetMeterProvider(provider)
	t.shutdown = append(t.shutdown, provider.Shutdown)
	return nil
}

// startTraces does nothing without an endpoint: spans then cost next to nothing, and the traceparents of others are
// passed on all the same.
func (t *Telemetry) startTraces(ctx context.Context, about *resource.Resource, s Settings) error {
	endpoint := s.TracesEndpoint
	if endpoint == "" && s.Endpoint != "" {
		endpoint = strings.TrimRight(s.Endpoint, "/") + "/v1/traces"
	}
	if endpoint == "" {
		return nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint))
	if err != nil {
		return fmt.Errorf("export traces to %s: %w", endpoint, err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	otel.SetTracerProvider(provider)
	t.shutdown = append(t.shutdown, provider.Shutdown)
	return nil
}

// MetricsHandler answers the figures in Prometheus' format, for /metrics.
func (t *Telemetry) MetricsHandler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{Registry: t.registry})
}

// Shutdown sends what is left and ends. What cannot be sent within some seconds is lost, and logged.
func (t *Telemetry) Shutdown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, shutdownTimeout)
	defer cancel()
	for _, end := range t.shutdown {
		if err := end(ctx); err != nil {
			slog.WarnContext(ctx, "end the telemetry", "error", err)
		}
	}
}
