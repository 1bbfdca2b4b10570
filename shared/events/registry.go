package events

import "sort"

// registry maps every type this build knows to a maker of its payload. It is written at start-up alone.
var registry = map[string]func() Payload{}

// register makes T known by the type its zero value names.
func register[T any, P interface {
	*T
	Payload
}]() {
	var zero T
	registry[P(&zero).EventType()] = func() Payload { return P(new(T)) }
}

// Types lists every known type, sorted.
func Types() []string {
	out := make([]string, 0, len(registry))
	for t := range registry {
		out = append(out, t)
	}
	sort.Strings(out)
	return out
}

// NewPayload returns an empty payload of a known type, or false.
func NewPayload(eventType string) (Payload, bool) {
	mint, ok := registry[eventType]
	if !ok {
		return nil, false
	}
	return mint(), true
}
