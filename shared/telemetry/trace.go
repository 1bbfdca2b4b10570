package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
)

// traceParentKey is the header's name, in HTTP and on the bus.
const traceParentKey = "traceparent"

// TraceParent is the context's trace as W3C Trace Context writes it; empty when there is none. It goes into the log
// and over the bus with each event.
func TraceParent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[traceParentKey]
}

// WithTraceParent continues the trace that TraceParent wrote. A text that is none leaves the context as it is.
func WithTraceParent(ctx context.Context, traceParent string) context.Context {
	if traceParent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceParentKey: traceParent})
}
