package events

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxAttribute is the longest attribute that is accepted, in bytes. Ids end up in unique indexes and in the
// idempotency keys of others: PostgreSQL's index takes 2,704 bytes a row, Stripe's key 255 characters.
const MaxAttribute = 255

const specVersion = "1.0"

// attributes are a message's context attributes as text, before any of them is understood. Both encodings
// are read into it, so that both are judged by the same rules.
type attributes struct {
	specVersion, id, source, typ, subject string
	time, dataContentType                 string
	sequence, correlationID, causationID  string
	actor, traceParent                    string
}

// field finds an attribute by its name on the wire; nil for those that Tenure does not use, which are passed over.
func (a *attributes) field(name string) *string {
	switch name {
	case "specversion":
		return &a.specVersion
	case "id":
		return &a.id
	case "source":
		return &a.source
	case "type":
		return &a.typ
	case "subject":
		return &a.subject
	case "time":
		return &a.time
	case "datacontenttype":
		return &a.dataContentType
	case "sequence":
		return &a.sequence
	case "correlationid":
		return &a.correlationID
	case "causationid":
		return &a.causationID
	case "actor":
		return &a.actor
	case "traceparent":
		return &a.traceParent
	}
	return nil
}

// set stores the value of the attribute called name. A second one is refused: readers that take the first and
// readers that take the last would see two different events under one id.
func set(field *string, name, value string) *FormatError {
	if *field != "" {
		return refuse(CodeDuplicateAttribute, name+" is given twice")
	}
	*field = value
	return nil
}

// event turns the attributes into an Event. With an error the event holds what was readable, so that a dead letter
// can say which message it was.
func (a *attributes) event(data json.RawMessage) (Event, *FormatError) {
	e := Event{
		ID: a.id, Source: a.source, Type: a.typ, Subject: a.subject,
		CorrelationID: a.correlationID, CausationID: a.causationID,
		Actor: a.actor, TraceParent: a.traceParent,
		Data: data,
	}
	if a.specVersion != specVersion {
		return e, refuse(CodeUnsupportedSpecVersion, `specversion must be "1.0"`)
	}
	if !isJSON(a.dataContentType) {
		return e, refuse(CodeUnsupportedContentType, "datacontenttype must be application/json or absent")
	}
	if a.time != "" {
		t, err := time.Parse(time.RFC3339Nano, a.time)
		if err != nil {
			return e, refuse(CodeInvalidTime, "time must be an RFC 3339 timestamp")
		}
		e.Time = t.UTC()
	}
	if a.sequence != "" {
		n, err := strconv.ParseInt(a.sequence, 10, 64)
		if err != nil {
			return e, refuse(CodeInvalidSequence, "sequence must be a whole number")
		}
		e.Sequence = n
	}
	return e, e.check()
}

// check holds an event to what every reader relies on. Encode and Decode share it: nothing is sent that
// would be refused on arrival.
func (e *Event) check() *FormatError {
	switch {
	case strings.TrimSpace(e.ID) == "":
		return refuse(CodeMissingID, "id must not be blank")
	case strings.TrimSpace(e.Source) == "":
		return refuse(CodeMissingSource, "source must not be blank")
	case strings.TrimSpace(e.Type) == "":
		return refuse(CodeMissingType, "type must not be blank")
	case !ValidTenantID(e.Subject):
		return refuse(CodeInvalidTenantID, "subject must be a tenant id of 1 to 64 letters, digits, _ or -")
	case e.Sequence < 0:
		return refuse(CodeInvalidSequence, "sequence must not be negative")
	case !e.Time.IsZero() && (e.Time.UTC().Year() < 1 || e.Time.UTC().Year() > 9999):
		return refuse(CodeInvalidTime, "time must lie within the years 1 to 9999 in UTC")
	}
	for _, a := range [...]struct{ name, value string }{
		{"id", e.ID},
		{"source", e.Source},
		{"type", e.Type},
		{"correlationid", e.CorrelationID},
		{"causationid", e.CausationID},
		{"actor", e.Actor},
		{"traceparent", e.TraceParent},
	} {
		if len(a.value) > MaxAttribute {
			return refuse(CodeInvalidAttribute, a.name+" is longer than 255 bytes")
		}
		if !cleanText(a.value) {
			return refuse(CodeInvalidAttribute, a.name+" holds control characters or is not UTF-8")
		}
	}
	return nil
}

// cleanText reports whether s is UTF-8 without control characters, which CloudEvents forbids in
// attributes and PostgreSQL's text cannot hold (NUL).
func cleanText(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] >= 0x7f {
			return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
		}
	}
	return true
}

// isJSON reports whether a media type means JSON. An absent one does, by CloudEvents' JSON format.
func isJSON(mediaType string) bool {
	if mediaType == "" || mediaType == "application/json" {
		return true
	}
	mediaType, _, _ = strings.Cut(strings.ToLower(mediaType), ";")
	mediaType = strings.TrimSpace(mediaType)
	return mediaType == "application/json" || mediaType == "text/json" || strings.HasSuffix(mediaType, "+json")
}
