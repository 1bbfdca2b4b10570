package gate

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// refusals counts the refusals by their code. What is allowed is not counted: nearly every request is, and a counter that
// all cores share would cost as much as the answer.
type refusals map[string]*atomic.Int64

func newRefusals() refusals {
	counts := refusals{}
	count := func(verdicts ...Verdict) {
		for _, v := range verdicts {
			if !v.Allowed && counts[v.Code] == nil {
				counts[v.Code] = new(atomic.Int64)
			}
		}
	}
	for _, row := range append(rights[:], suspendedPayment, suspendedTrial) {
		count(row[:]...)
	}
	count(full, readOnly, unknownTenant, notReady, staleReplica)
	return counts
}

// observe shows the gate's figures until stop is called.
func (g *Gate) observe() (stop func(), err error) {
	meter := otel.Meter("tenure/shared/gate")
	var errs [4]error
	var stale, tenants metric.Int64ObservableGauge
	var age metric.Float64ObservableGauge
	var refused metric.Int64ObservableCounter
	stale, errs[0] = meter.Int64ObservableGauge("tenure.gate.stale",
		metric.WithDescription("1 while the bus has been out of reach for longer than the gate trusts its replica"))
	age, errs[1] = meter.Float64ObservableGauge("tenure.gate.age", metric.WithUnit("s"),
		metric.WithDescription("Time since the replica was last known to hold all that was on the bus"))
	tenants, errs[2] = meter.Int64ObservableGauge("tenure.gate.tenants", metric.WithDescription("Tenants in the replica"))
	refused, errs[3] = meter.Int64ObservableCounter("tenure.gate.refusals", metric.WithDescription("Requests refused, by the verdict's code"))
	for _, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("gate: make its figures: %w", err)
		}
	}
	registered, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		var isStale int64
		if g.Stale() {
			isStale = 1
		}
		o.ObserveInt64(stale, isStale)
		o.ObserveFloat64(age, g.Age().Seconds())
		o.ObserveInt64(tenants, int64(g.replica.size()))
		for code, n := range g.refusals {
			o.ObserveInt64(refused, n.Load(), metric.WithAttributes(attribute.String("code", code)))
		}
		return nil
	}, stale, age, tenants, refused)
	if err != nil {
		return nil, fmt.Errorf("gate: show its figures: %w", err)
	}
	return func() { _ = registered.Unregister() }, nil
}

// Age is how long ago the replica was known to hold all that was on the bus; since Run began, when it never was.
func (g *Gate) Age() time.Duration {
	if at := g.freshAt.Load(); at > 0 {
		return time.Since(time.Unix(0, at))
	}
	return 0
}
