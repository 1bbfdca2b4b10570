// Package schema holds data from outside to the JSON Schemas in tenure/schemas.
//
// It judges form alone: what a command may do in a tenant's state is the state machine's to say.
package schema

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"tenure/schemas"
)

// Codes of an Error. They are part of the contract.
const (
	CodeUnknownType   = "unknown_type"
	CodeMalformedJSON = "malformed_json"
	CodeMissingField  = "missing_field"
	CodeWrongType     = "wrong_type"
	CodeWrongFormat   = "wrong_format"
	CodeNotAllowed    = "not_allowed"
	CodeOutOfRange    = "out_of_range"
	CodeInvalid       = "invalid"
)

// Error says what is wrong and where. Message quotes nothing of the data: it is logged and sent on, and the data of
// a sign-up is personal.
type Error struct {
	Code string
	// Pointer is the JSON pointer (RFC 6901) of the field in question; "" is the data as a whole.
	Pointer string
	Message string
}

func (e *Error) Error() string {
	if e.Pointer == "" {
		return "schema: " + e.Message
	}
	return "schema: " + e.Pointer + " " + e.Message
}

// Validate holds data to the schema of eventType. Fields that the schema does not name are tolerated, because a newer
// program may send them. Absent data counts as an empty object. The error is an *Error about the first field, in
// the order of their pointers, that is wrong.
//
// It may be called from many goroutines at once. The first call compiles all schemas.
func Validate(eventType string, data []byte) error {
	s, ok := compiled()[schemas.Path(eventType)]
	if !ok {
		return &Error{Code: CodeUnknownType, Message: "no schema is known for this type: is it misspelt, or newer than this program?"}
	}
	if len(data) == 0 {
		data = []byte("{}")
	}
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		return &Error{Code: CodeMalformedJSON, Message: "the data is not JSON"}
	}
	err := s.Validate(value)
	if invalid := (*jsonschema.ValidationError)(nil); errors.As(err, &invalid) {
		return first(invalid)
	}
	return err
}

// compiled holds every schema by its path. The files are part of the program and tested, so that one which does not
// compile is a programmer's mistake, hence the panic.
var compiled = sync.OnceValue(func() map[string]*jsonschema.Schema {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	var paths []string
	err := fs.WalkDir(schemas.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".example.json") {
			return err
		}
		content, err := schemas.FS.ReadFile(path)
		if err != nil {
			return err
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
		if err != nil {
			return fmt.Errorf("read schema %s: %w", path, err)
		}
		paths = append(paths, path)
		return c.AddResource(schemas.ID(path), document)
	})
	if err != nil {
		panic(err)
	}
	out := make(map[string]*jsonschema.Schema, len(paths))
	for _, path := range paths {
		out[path] = c.MustCompile(schemas.ID(path))
	}
	return out
})

// first picks one leaf of the tree of errors. The library walks a map, so that its own order changes from call to call.
func first(tree *jsonschema.ValidationError) *Error {
	var found []*Error
	var walk func(e *jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		for _, cause := range e.Causes {
			walk(cause)
		}
		if len(e.Causes) == 0 {
			found = append(found, explain(e))
		}
	}
	walk(tree)
	return slices.MinFunc(found, func(a, b *Error) int {
		return cmp.Or(strings.Compare(a.Pointer, b.Pointer), strings.Compare(a.Code, b.Code))
	})
}

// explain says in our codes, and without the data's values, what the library found.
func explain(e *jsonschema.ValidationError) *Error {
	at := e.InstanceLocation
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		return &Error{CodeMissingField, pointer(append(slices.Clone(at), slices.Min(k.Missing))), "is required"}
	case *kind.Type:
		return &Error{CodeWrongType, pointer(at), "must be " + strings.Join(k.Want, " or ")}
	case *kind.Format:
		return &Error{CodeWrongFormat, pointer(at), "must be written as " + k.Want}
	case *kind.Enum:
		allowed, _ := json.Marshal(k.Want)
		return &Error{CodeNotAllowed, pointer(at), "must be one of " + string(allowed)}
	case *kind.MinLength:
		return &Error{CodeOutOfRange, pointer(at), fmt.Sprintf("must have at least %d characters", k.Want)}
	case *kind.MaxLength:
		return &Error{CodeOutOfRange, pointer(at), fmt.Sprintf("must have at most %d characters", k.Want)}
	case *kind.MaxItems:
		return &Error{CodeOutOfRange, pointer(at), fmt.Sprintf("must have at most %d items", k.Want)}
	case *kind.Minimum:
		return &Error{CodeOutOfRange, pointer(at), "must be at least " + k.Want.RatString()}
	}
	return &Error{CodeInvalid, pointer(at), "does not fit its schema: " + strings.Join(e.ErrorKind.KeywordPath(), "/")}
}

// pointer writes a path as a JSON pointer.
func pointer(path []string) string {
	var b strings.Builder
	for _, token := range path {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(token))
	}
	return b.String()
}
