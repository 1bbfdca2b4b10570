package events

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// Decode reads a message in either CloudEvents encoding. It is structured when its Content-Type says so or no header
// begins with "ce-", otherwise binary; header names are compared without case. Attributes that Tenure does not
// use are passed over, and so are unknown types: a newer program may speak.
//
// Every error is a *FormatError. The Event then holds what was readable, for a dead letter to name it.
// Data shares memory with body.
func Decode(header map[string][]string, body []byte) (Event, error) {
	if len(body) > MaxBody {
		return Event{}, refuse(CodeTooLarge, "the body is larger than 64 KiB")
	}
	var a attributes
	data, err := a.read(header, body)
	e, invalid := a.event(data)
	if err == nil {
		err = invalid
	}
	if err != nil {
		return e, err
	}
	return e, Storable(data)
}

// read fills a from a message and returns its data: nil when it has none.
func (a *attributes) read(header map[string][]string, body []byte) (json.RawMessage, *FormatError) {
	if !utf8.Valid(body) {
		return nil, refuse(CodeMalformedJSON, "the body is not UTF-8")
	}
	m, err := modeOf(header)
	switch {
	case err != nil:
		return nil, err
	case m == binary:
		return a.readBinary(header, body)
	default:
		return a.readStructured(body)
	}
}

// readBinary takes the attributes from "ce-" headers and the data from the body.
func (a *attributes) readBinary(header map[string][]string, body []byte) (json.RawMessage, *FormatError) {
	for name, values := range header {
		name, _ := attributeName(name)
		f := a.field(name)
		if f == nil {
			continue
		}
		for _, v := range values {
			if err := set(f, name, percentDecode(v)); err != nil {
				return nil, err
			}
		}
	}
	data := json.RawMessage(bytes.TrimSpace(body))
	if len(data) > 0 && !json.Valid(data) {
		return nil, refuse(CodeMalformedJSON, "the body is not JSON")
	}
	return unlessNull(data), nil
}

// readStructured takes attributes and data from one JSON object. encoding/json into a struct would be less code, but
// costs twice the time, takes "ID" for "id", and lets the last of two ids win in silence.
func (a *attributes) readStructured(body []byte) (data json.RawMessage, err *FormatError) {
	s := scanner{rest: body}
	err = s.object(func(name, value []byte) *FormatError {
		switch {
		case string(value) == "null": // JSON's way to say that a member is not there
			return nil
		case string(name) == "data", string(name) == "data_base64":
			if data != nil {
				return refuse(CodeDuplicateAttribute, "data is given twice")
			}
			var err *FormatError
			data, err = dataOf(string(name), value)
			return err
		}
		f := a.field(string(name))
		if f == nil {
			return nil
		}
		text, ok := unquote(value)
		if !ok && f == &a.sequence { // a CloudEvents Integer; the String that some write is taken too
			text, ok = value, true
		}
		if !ok {
			return refuse(CodeInvalidAttribute, string(name)+" must be a string")
		}
		return set(f, string(name), string(text))
	})
	return data, err
}

// dataOf takes the member "data" as it is and decodes "data_base64", in which JSON may travel too.
func dataOf(name string, value []byte) (json.RawMessage, *FormatError) {
	if name == "data" {
		return value, nil
	}
	text, ok := unquote(value)
	data, err := base64.StdEncoding.DecodeString(string(text))
	if !ok || err != nil {
		return nil, refuse(CodeMalformedJSON, "data_base64 is not base64")
	}
	data = bytes.TrimSpace(data)
	if !utf8.Valid(data) || !json.Valid(data) {
		return nil, refuse(CodeMalformedJSON, "data_base64 is not JSON")
	}
	return unlessNull(data), nil
}

// unlessNull: null is how JSON says that there is no data.
func unlessNull(data []byte) json.RawMessage {
	if len(data) == 0 || string(data) == "null" {
		return nil
	}
	return data
}

// Storable refuses JSON that PostgreSQL cannot read: an escaped NUL and half a surrogate pair. Let in, such a message
// would fail at each insert, and take the batch it travels in with it; or it would be stored as text, and then fail
// every query that looks into it. data must be valid JSON. The error is a *FormatError.
func Storable(data []byte) error {
	for {
		i := bytes.IndexByte(data, '\\')
		if i < 0 {
			return nil
		}
		data = data[i:]
		if data[1] != 'u' {
			data = data[2:]
			continue
		}
		n := escapeLength(data)
		if n == 0 {
			return refuse(CodeUnstorableData, "data holds \\u0000 or half a surrogate pair, which no store takes")
		}
		data = data[n:]
	}
}

// escapeLength is how many bytes the character escaped at the start of valid JSON text takes; 0 when it is none.
func escapeLength(text []byte) int {
	const one, pair = len(`\u0041`), len(`\ud83d\ude00`)
	hex := func(b []byte) string { return strings.ToLower(string(b[2:one])) }
	isEscape := func(b []byte) bool { return len(b) >= one && b[0] == '\\' && b[1] == 'u' }

	switch h := hex(text); {
	case h == "0000" || h >= "dc00" && h < "e000":
		return 0
	case h < "d800" || h >= "e000":
		return one
	case isEscape(text[one:]) && hex(text[one:]) >= "dc00" && hex(text[one:]) < "e000":
		return pair
	}
	return 0
}
