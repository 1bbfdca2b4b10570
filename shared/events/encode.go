package events

import (
	"encoding/json"
	"strconv"
	"time"
)

// ContentType is the media type of a message made by Encode.
const ContentType = "application/cloudevents+json"

// Encode writes e as one structured CloudEvents 1.0 JSON message. It returns a *FormatError when Decode would refuse
// the result. Data must be JSON, as New makes it; it is copied as it is, not parsed again: encoding is on the path
// of every transition.
func Encode(e Event) ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	const names = 256 // more than all attribute names, quotes and the timestamp take
	b := make([]byte, 0, names+len(e.Data)+len(e.ID)+len(e.Source)+len(e.Type)+len(e.Subject)+
		len(e.CorrelationID)+len(e.CausationID)+len(e.Actor)+len(e.TraceParent))

	b = append(b, `{"specversion":"1.0"`...)
	b = appendAttribute(b, "id", e.ID)
	b = appendAttribute(b, "source", e.Source)
	b = appendAttribute(b, "type", e.Type)
	b = appendAttribute(b, "subject", e.Subject)
	if !e.Time.IsZero() {
		b = append(b, `,"time":"`...)
		b = e.Time.UTC().AppendFormat(b, time.RFC3339Nano)
		b = append(b, '"')
	}
	if e.Sequence != 0 {
		b = append(b, `,"sequence":`...)
		b = strconv.AppendInt(b, e.Sequence, 10)
	}
	b = appendAttribute(b, "correlationid", e.CorrelationID)
	b = appendAttribute(b, "causationid", e.CausationID)
	b = appendAttribute(b, "actor", e.Actor)
	b = appendAttribute(b, "traceparent", e.TraceParent)
	if len(e.Data) > 0 {
		b = append(b, `,"data":`...)
		b = append(b, e.Data...)
	}
	b = append(b, '}')
	if len(b) > MaxBody {
		return nil, refuse(CodeTooLarge, "the encoded event is larger than 64 KiB")
	}
	return b, nil
}

// appendAttribute adds one text attribute; absent ones are left out.
func appendAttribute(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":`...)
	return appendString(b, value)
}

// appendString adds s as a JSON string. Nearly all are plain ASCII and copied; the rest is left to encoding/json.
func appendString(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] >= 0x7f || s[i] == '"' || s[i] == '\\' {
			quoted, _ := json.Marshal(s) // a string always marshals
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
