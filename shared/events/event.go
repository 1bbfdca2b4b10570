// Package events is the language that Tenure's services and upstream programs share: the CloudEvents
// envelope, the payload of every command and event, and the subjects they travel on.
//
// Encode writes an event for the bus, Decode reads one in either CloudEvents encoding. The same contract for other
// languages is tenure/schemas, generated from the payloads here: run "go generate ./..." after changing one.
//
// It is pure: no clock, no randomness, no I/O. Anything may import it, and all of it may be called from many goroutines
// at once.
package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Event is one CloudEvents 1.0 event with the extensions Tenure uses. Commands are events too: a request
// is a fact about what somebody asked for.
type Event struct {
	// ID is unique within Source (CloudEvents 1.0, section "id"). For a command it is the idempotency key; for
	// an event of a log it is "<stream>.<version>".
	ID     string
	Source string
	Type   string
	// Subject is the tenant's id.
	Subject string
	Time    time.Time
	// Sequence is the tenant's version in the log of the emitting service, from 1, without gaps. 0: not ordered.
	Sequence int64
	// CorrelationID is the id of the command that began it all; CausationID that of the direct cause.
	CorrelationID string
	CausationID   string
	// Actor is who asked: "operator:<id>", "tenant:<id>", "link:<message id>" (whoever used the link in that mail),
	// "system:<part>" or "service:<name>". Never personal data.
	Actor       string
	TraceParent string
	Data        json.RawMessage
}

// Payload is the typed data of one event or command type.
type Payload interface {
	// EventType is the CloudEvents type, for example "tenure.lifecycle.upgrade.started.v1".
	EventType() string
}

// ErrUnknownType says that no payload is registered for a type: a newer program speaks. Pass over it.
var ErrUnknownType = errors.New("events: unknown type")

// Payload decodes Data into the struct registered for Type. Unknown fields are ignored, so that an older
// reader goes on working. It returns ErrUnknownType for types this build does not know.
func (e Event) Payload() (Payload, error) {
	mint, ok := registry[e.Type]
	if !ok {
		return nil, fmt.Errorf("%w %q", ErrUnknownType, e.Type)
	}
	p := mint()
	if len(e.Data) == 0 {
		return p, nil
	}
	if err := json.Unmarshal(e.Data, p); err != nil {
		return nil, fmt.Errorf("events: data of %s: %w", e.Type, err)
	}
	return p, nil
}

// Service is the second part of the type: "lifecycle" of "tenure.lifecycle.upgrade.started.v1".
func (e Event) Service() string { s, _ := SplitType(e.Type); return s }

// Name is what follows the service, without the version: "upgrade.started".
func (e Event) Name() string { _, n := SplitType(e.Type); return n }

// SplitType cuts "tenure.<service>.<name>.v<N>" into service and name; both are empty for any other form.
func SplitType(eventType string) (service, name string) {
	rest, ok := strings.CutPrefix(eventType, "tenure.")
	if !ok {
		return "", ""
	}
	service, rest, ok = strings.Cut(rest, ".")
	if !ok {
		return "", ""
	}
	i := strings.LastIndex(rest, ".v")
	if i <= 0 {
		return "", ""
	}
	return service, rest[:i]
}

// MaxTenantID is the longest tenant id, in bytes.
const MaxTenantID = 64

// ValidTenantID reports whether id may name a tenant: it is a subject token, an S3 key part and a URL part, so
// that nothing but letters, digits, "_" and "-" is let in.
func ValidTenantID(id string) bool {
	if id == "" || len(id) > MaxTenantID {
		return false
	}
	for i := 0; i < len(id); i++ {
		c := id[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// MaxBody is the largest encoded message that is accepted, in bytes.
const MaxBody = 64 << 10

// BusSubject is where an event of this type about this tenant travels. Commands go to "tenure.commands.<tenant>",
// usage to "tenure.usage.<tenant>", all else to "tenure.events.<service>.<tenant>.<name>".
func BusSubject(eventType, tenant string) string {
	service, name := SplitType(eventType)
	switch service {
	case "command":
		return "tenure.commands." + tenant
	case "usage":
		return "tenure.usage." + tenant
	}
	return "tenure.events." + service + "." + tenant + "." + name
}

// CommandType is the CloudEvents type of the command called name.
func CommandType(name string) string { return "tenure.command." + name + ".v1" }

// New makes an event with p as its data. The caller fills in id, source, time and the extensions.
func New(p Payload, tenant string) (Event, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return Event{}, fmt.Errorf("events: encode %s: %w", p.EventType(), err)
	}
	return Event{Type: p.EventType(), Subject: tenant, Data: data}, nil
}
