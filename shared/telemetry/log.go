package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// logHandler writes records without secrets, each with the trace that it belongs to.
func (s Settings) logHandler(w io.Writer) (slog.Handler, error) {
	format := s.LogFormat
	if format == "" {
		format = "json"
		if s.Env == "dev" {
			format = "text"
		}
	}
	opts := &slog.HandlerOptions{Level: s.LogLevel, ReplaceAttr: redact}
	switch format {
	case "json":
		return traced{slog.NewJSONHandler(w, opts)}, nil
	case "text":
		return traced{slog.NewTextHandler(w, opts)}, nil
	}
	return nil, fmt.Errorf("TENURE_LOG_FORMAT is %q: use json or text", format)
}

// secretWords mark an attribute whose value must not be logged, wherever they stand in its key.
var secretWords = []string{
	"authorization", "token", "secret", "password", "passwd", "cookie", "credential",
	"api_key", "apikey", "auth_key", "private_key", "vault_key", "access_key", "database_url", "dsn",
}

// redact is the last resort against secrets in logs: it goes by the key, not by the value.
func redact(_ []string, a slog.Attr) slog.Attr {
	key := strings.ToLower(a.Key)
	for _, word := range secretWords {
		if strings.Contains(key, word) {
			return slog.String(a.Key, "[redacted]")
		}
	}
	return a
}

// traced adds the ids of the context's span to each record.
type traced struct{ slog.Handler }

func (h traced) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(attrs)} }

func (h traced) WithGroup(name string) slog.Handler { return traced{h.Handler.WithGroup(name)} }
