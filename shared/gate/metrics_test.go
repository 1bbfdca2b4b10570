package gate

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

func TestFigures(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	before := otel.GetMeterProvider()
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	defer otel.SetMeterProvider(before)
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		b.publish("acme", 1, activated("free"))
		b.publish("late", 1, suspended("payment"))
		g := New(Config{})
		b.feed(g)
		pass(time.Second)
		for range 3 {
			wantStatus(t, g, "late", Query, http.StatusPaymentRequired)
		}
		wantFigures(t, reader, map[string]float64{"tenure.gate.stale": 0, "tenure.gate.tenants": 2, "tenure.gate.refusals suspended_payment": 3})
		b.set(func() { b.away = true })
		pass(time.Minute)
		wantFigures(t, reader, map[string]float64{"tenure.gate.stale": 1, "tenure.gate.age": 60})
	})
}

// wantFigures compares to the second: the last look at the bus was a moment before it went away.
func wantFigures(t *testing.T, reader *sdkmetric.ManualReader, want map[string]float64) {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Gauge[int64]:
				got[m.Name] = float64(data.DataPoints[0].Value)
			case metricdata.Gauge[float64]:
				got[m.Name] = data.DataPoints[0].Value
			case metricdata.Sum[int64]:
				for _, point := range data.DataPoints {
					code, _ := point.Attributes.Value("code")
					got[m.Name+" "+code.AsString()] = float64(point.Value)
				}
			}
		}
	}
	for name, value := range want {
		if has, ok := got[name]; !ok || has < value || has > value+1.5 {
			t.Errorf("%s is %v, want %v", name, has, value)
		}
	}
}
