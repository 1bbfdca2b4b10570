package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestSecretsAreNotLogged(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		var out bytes.Buffer
		handler, err := Settings{LogFormat: format}.logHandler(&out)
		if err != nil {
			t.Fatal(err)
		}
		log := slog.New(handler).With("operator_token", "hunter2").WithGroup("request")
		log.Info("hello", "Authorization", "Bearer hunter2", "path", "/v1", slog.Group("db", "PASSWORD", "hunter2", "schema", "billing"),
			"STRIPE_WEBHOOK_SECRET", []string{"hunter2"}, "idempotency_key", "k1")
		if strings.Contains(out.String(), "hunter2") {
			t.Errorf("%s: a secret is in the log: %s", format, &out)
		}
		for _, kept := range []string{"/v1", "billing", "k1"} {
			if !strings.Contains(out.String(), kept) {
				t.Errorf("%s: %q is missing: %s", format, kept, &out)
			}
		}
	}
}

func TestRecordsNameTheirTrace(t *testing.T) {
	var out bytes.Buffer
	handler, err := Settings{}.logHandler(&out)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(handler).With("service", "billing")
	log.InfoContext(WithTraceParent(t.Context(), parent), "within")
	log.InfoContext(context.Background(), "without")
	var within, without map[string]any
	lines := bytes.SplitN(out.Bytes(), []byte("\n"), 2)
	if err := json.Unmarshal(lines[0], &within); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(lines[1], &without); err != nil {
		t.Fatal(err)
	}
	if within["trace_id"] != "0af7651916cd43dd8448eb211c80319c" || within["span_id"] != "b7ad6b7169203331" || within["service"] != "billing" {
		t.Errorf("the record is %v", within)
	}
	if without["trace_id"] != nil {
		t.Errorf("a trace out of nowhere: %v", without)
	}
}

func TestLogSettings(t *testing.T) {
	for _, test := range []struct {
		s    Settings
		json bool
	}{
		{Settings{Env: "production"}, true},
		{Settings{Env: "dev"}, false},
		{Settings{Env: "dev", LogFormat: "json"}, true},
	} {
		var out bytes.Buffer
		handler, err := test.s.logHandler(&out)
		if err != nil {
			t.Fatal(err)
		}
		slog.New(handler).Info("hello")
		if got := json.Valid(out.Bytes()); got != test.json {
			t.Errorf("%+v wrote %s", test.s, &out)
		}
	}
	quiet, err := Settings{LogLevel: slog.LevelWarn}.logHandler(&bytes.Buffer{})
	if err != nil || quiet.Enabled(t.Context(), slog.LevelInfo) {
		t.Errorf("info is logged at level warn (%v)", err)
	}
	if _, err := (Settings{LogFormat: "xml"}).logHandler(&bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "TENURE_LOG_FORMAT") {
		t.Errorf("format xml: %v", err)
	}
}
