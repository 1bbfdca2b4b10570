package events

import (
	"strconv"
	"strings"
	"time"
)

// The message headers of CloudEvents' NATS binding: "ce-<attribute>", percent-encoded.

type mode int

const (
	structured mode = iota
	binary
)

const (
	attributePrefix   = "ce-"
	contentTypeHeader = "Content-Type"
	cloudEventsType   = "application/cloudevents"
)

// modeOf tells how a message is encoded. The binding calls a message without Content-Type binary; one without any
// "ce-" header can only be structured, and most clients that publish plain JSON set no header at all.
func modeOf(header map[string][]string) (mode, *FormatError) {
	m := structured
	for name, values := range header {
		if _, ok := attributeName(name); ok {
			m = binary
		}
		if !strings.EqualFold(name, contentTypeHeader) || len(values) == 0 {
			continue
		}
		mediaType, _, _ := strings.Cut(strings.ToLower(values[0]), ";")
		switch mediaType = strings.TrimSpace(mediaType); {
		case mediaType == ContentType || mediaType == cloudEventsType:
			return structured, nil
		case strings.HasPrefix(mediaType, cloudEventsType) || !isJSON(mediaType):
			return 0, refuse(CodeUnsupportedContentType, "send JSON: "+ContentType+", or application/json with ce- headers")
		}
	}
	return m, nil
}

// attributeName cuts "ce-", in any case, from a header's name; attribute names are lower case.
func attributeName(header string) (string, bool) {
	n := len(attributePrefix)
	if len(header) <= n || !strings.EqualFold(header[:n], attributePrefix) {
		return "", false
	}
	return strings.ToLower(header[n:]), true
}

// EncodeBinary writes e in the binary encoding: attributes in headers, Data as the body. Tenure sends structured
// messages; this is for clients and tests. It returns a *FormatError when Decode would refuse the result.
func EncodeBinary(e Event) (header map[string][]string, body []byte, err error) {
	if err := e.check(); err != nil {
		return nil, nil, err
	}
	if len(e.Data) > MaxBody {
		return nil, nil, refuse(CodeTooLarge, "data is larger than 64 KiB")
	}
	header = map[string][]string{}
	set := func(name, value string) {
		if value != "" {
			header[attributePrefix+name] = []string{percentEncode(value)}
		}
	}
	set("specversion", specVersion)
	set("id", e.ID)
	set("source", e.Source)
	set("type", e.Type)
	set("subject", e.Subject)
	if !e.Time.IsZero() {
		set("time", e.Time.UTC().Format(time.RFC3339Nano))
	}
	if e.Sequence != 0 {
		set("sequence", strconv.FormatInt(e.Sequence, 10))
	}
	set("correlationid", e.CorrelationID)
	set("causationid", e.CausationID)
	set("actor", e.Actor)
	set("traceparent", e.TraceParent)
	if len(e.Data) > 0 {
		// Not Content-Type: in this binding that header says that the message is structured.
		set("datacontenttype", "application/json")
	}
	return header, e.Data, nil
}

// percentEncode encodes what a header cannot carry: spaces, quotes, the percent sign itself, and all that is not
// printable ASCII, byte by byte of its UTF-8.
func percentEncode(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '%' {
			b.Write([]byte{'%', hex[c>>4], hex[c&0xf]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// percentDecode decodes once, as the binding demands. A percent sign that begins no escape stands for itself:
// programs that do not know the rule send ids like "50%" as they are.
func percentDecode(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(c))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b) // when it is not UTF-8, check refuses it
}
