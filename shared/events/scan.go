package events

import (
	"bytes"
	"encoding/json"
)

// scanner walks the members of one JSON object without building a tree. It knows the grammar of the outermost
// object alone: values that are no plain strings are handed to encoding/json, whose word is final.
type scanner struct{ rest []byte }

var (
	errNotJSON   = refuse(CodeMalformedJSON, "the body is not JSON")
	errNotObject = refuse(CodeMalformedJSON, "the body is not one JSON object")
)

// object calls member with the name and the raw value of each member in turn, and ends with member's first error.
func (s *scanner) object(member func(name, value []byte) *FormatError) *FormatError {
	if !s.take('{') {
		return errNotObject
	}
	if s.take('}') {
		return s.end()
	}
	for {
		s.space()
		name, ok := unquote(s.value())
		if !ok || !s.take(':') {
			return errNotJSON
		}
		s.space()
		value := s.value()
		if value == nil {
			return errNotJSON
		}
		if err := member(name, value); err != nil {
			return err
		}
		if s.take(',') {
			continue
		}
		if !s.take('}') {
			return errNotJSON
		}
		return s.end()
	}
}

func (s *scanner) end() *FormatError {
	if s.space(); len(s.rest) > 0 {
		return errNotObject
	}
	return nil
}

func (s *scanner) space() {
	for len(s.rest) > 0 && (s.rest[0] == ' ' || s.rest[0] == '\n' || s.rest[0] == '\t' || s.rest[0] == '\r') {
		s.rest = s.rest[1:]
	}
}

// take skips white space and then c, if c is next.
func (s *scanner) take(c byte) bool {
	s.space()
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// value cuts the next value off; nil when there is none that is valid.
func (s *scanner) value() []byte {
	n := plainLength(s.rest)
	plain := n > 0
	if !plain {
		n = extent(s.rest)
	}
	v := s.rest[:n]
	s.rest = s.rest[n:]
	if plain || json.Valid(v) {
		return v
	}
	return nil
}

// plainLength is the length, with its quotes, of the string at the start of b; 0 when there is none, or one
// whose text is not just the bytes between the quotes.
func plainLength(b []byte) int {
	if len(b) == 0 || b[0] != '"' {
		return 0
	}
	for i := 1; i < len(b) && b[i] >= ' ' && b[i] != '\\'; i++ {
		if b[i] == '"' {
			return i + 1
		}
	}
	return 0
}

// extent is the length of the value at the start of b, provided that it is valid.
func extent(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i += stringLength(b[i:]) - 1
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth == 0 {
				return i + 1
			}
			if depth < 0 { // the end of the object around a number or a word
				return i
			}
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return len(b)
}

// stringLength is the length of the string at the start of b, with its quotes.
func stringLength(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// unquote returns the text of a valid JSON string, which may share v's memory; false for any other value.
func unquote(v []byte) ([]byte, bool) {
	if len(v) == 0 || v[0] != '"' {
		return nil, false
	}
	if bytes.IndexByte(v, '\\') < 0 {
		return v[1 : len(v)-1], true
	}
	var text string
	if err := json.Unmarshal(v, &text); err != nil {
		return nil, false
	}
	return []byte(text), true
}
