// Command gen writes the JSON Schemas in schemas/ from the Go types in shared/events: field names and types from the
// structs, descriptions from their comments, closed sets from their tags. Run it with "go generate ./..." in
// tenure/shared after every change of a payload; a test fails while the files are not what it would write.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	"github.com/invopop/jsonschema"

	"tenure/schemas"
	"tenure/shared/events"
)

//go:generate go run .

// Folders as seen from here, where go generate and go test run.
const (
	schemasDir  = "../../../schemas"
	eventsDir   = "../../events"
	thisPackage = "tenure/shared/schema/gen"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run() error {
	files, err := generate()
	if err != nil {
		return err
	}
	for name, content := range files {
		file := filepath.Join(schemasDir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate returns every schema by its path in schemas/.
func generate() (map[string][]byte, error) {
	r := &jsonschema.Reflector{
		AllowAdditionalProperties: true, // a reader must go on working when a newer program adds a field
		Anonymous:                 true,
		ExpandedStruct:            true,
	}
	// The comments are looked up by import path, which gen derives from the folder it reads.
	if err := r.AddGoComments(thisPackage, eventsDir, jsonschema.WithFullComment()); err != nil {
		return nil, fmt.Errorf("read the comments of shared/events: %w", err)
	}
	r.LookupComment = describe(r.CommentMap)

	files := map[string][]byte{}
	for eventType, payload := range payloads() {
		path := schemas.Path(eventType)
		s := r.Reflect(payload)
		s.ID = jsonschema.ID(schemas.ID(path))
		s.Title = eventType
		defineStates(s)

		content, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("encode the schema of %s: %w", eventType, err)
		}
		files[path] = append(content, '\n')
	}
	return files, nil
}

// payloads lists what travels on the bus by its type: all that is registered, and the few whose type names
// somebody else.
func payloads() map[string]any {
	out := map[string]any{
		(&events.StripeNotice{Type: "{type}"}).EventType(): &events.StripeNotice{},
	}
	for _, answer := range []string{events.StepCompletedName, events.StepFailedName, events.StepProgressedName} {
		out[events.AnswerType("{participant}", answer)] = &events.StepAnswer{}
	}
	for _, t := range events.Types() {
		p, _ := events.NewPayload(t)
		out[t] = p
	}
	return out
}

// defineStates closes the set of the fields that hold a state: too many words for a tag.
func defineStates(s *jsonschema.Schema) {
	for _, field := range []string{"from_state", "to_state", "previous_state"} {
		property, ok := s.Properties.Get(field)
		if !ok {
			continue
		}
		property.Type, property.Ref = "", "#/$defs/State"
		if s.Definitions == nil {
			s.Definitions = jsonschema.Definitions{}
		}
		s.Definitions["State"] = &jsonschema.Schema{Type: "string", Enum: states()}
	}
}

func states() []any {
	var out []any
	for _, state := range events.States() {
		out = append(out, state)
	}
	return out
}

// describe looks comments up and turns them from Go into JSON: fields by their names on the wire, lines joined, because
// their breaks are those of the source.
func describe(comments map[string]string) func(reflect.Type, string) string {
	return func(t reflect.Type, field string) string {
		key := t.PkgPath() + "." + t.Name()
		if field != "" {
			key += "." + field
		}
		text := strings.ReplaceAll(comments[key], "\n", " ")
		if t.Kind() != reflect.Struct {
			return text
		}
		for _, f := range reflect.VisibleFields(t) {
			onWire, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if onWire != "" {
				text = regexp.MustCompile(`\b`+f.Name+`\b`).ReplaceAllString(text, onWire)
			}
		}
		return text
	}
}
