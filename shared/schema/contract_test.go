package schema_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"tenure/schemas"
	"tenure/shared/events"
	"tenure/shared/schema"
)

// The contract in three forms: a schema for other languages, an example for people, a Go type for ourselves. This holds
// them together for everything that travels on the bus, and finds files that belong to nothing.
func TestSchemaExampleAndTypeAgree(t *testing.T) {
	envelope := compileEnvelope(t)
	unclaimed := files(t)
	delete(unclaimed, schemas.Envelope)

	for eventType, payload := range payloads() {
		t.Run(eventType, func(t *testing.T) {
			path := schemas.Path(eventType)
			require.Contains(t, unclaimed, path, "no schema: run go generate ./... in tenure/shared")
			require.Contains(t, unclaimed, schemas.ExamplePath(path), "no example: write one by hand")
			delete(unclaimed, path)
			delete(unclaimed, schemas.ExamplePath(path))
			example, err := schemas.FS.ReadFile(schemas.ExamplePath(path))
			require.NoError(t, err)

			e, err := events.Decode(nil, example)
			require.NoError(t, err)
			require.Equal(t, path, schemas.Path(e.Type), "the example is of another type")

			strict := json.NewDecoder(bytes.NewReader(e.Data))
			strict.DisallowUnknownFields()
			require.NoError(t, strict.Decode(payload))
			require.Equal(t, string(example), string(encode(t, e, payload)), "it does not encode back to the same bytes")

			require.NoError(t, schema.Validate(e.Type, e.Data))
			document, err := jsonschema.UnmarshalJSON(bytes.NewReader(example))
			require.NoError(t, err)
			require.NoError(t, envelope.Validate(document))
		})
	}
	require.Empty(t, unclaimed, "files that belong to no type")
}

// A newer program may add fields and types; an older one must go on working.
func TestTheFutureIsTolerated(t *testing.T) {
	for eventType := range payloads() {
		indented, err := schemas.FS.ReadFile(schemas.ExamplePath(schemas.Path(eventType)))
		require.NoError(t, err)
		var compact bytes.Buffer
		require.NoError(t, json.Compact(&compact, indented))
		example := compact.Bytes()
		known, err := events.Decode(nil, example)
		require.NoError(t, err)

		t.Run(eventType+" with new fields", func(t *testing.T) {
			var members map[string]any
			require.NoError(t, json.Unmarshal(example, &members))
			members["comexamplenew"] = true
			members["data"].(map[string]any)["new_field"] = map[string]any{"deep": []int{1}}
			newer, err := json.Marshal(members)
			require.NoError(t, err)

			e, err := events.Decode(nil, newer)
			require.NoError(t, err)
			require.NoError(t, schema.Validate(e.Type, e.Data))
			want, wantErr := known.Payload()
			got, gotErr := e.Payload()
			require.Equal(t, wantErr, gotErr)
			require.Equal(t, want, got)
		})
		t.Run(eventType+" of a new version", func(t *testing.T) {
			e, err := events.Decode(nil, bytes.Replace(example, []byte(`.v1",`), []byte(`.v9",`), 1))
			require.NoError(t, err)
			_, err = e.Payload()
			require.ErrorIs(t, err, events.ErrUnknownType)
			requireError(t, schema.Validate(e.Type, e.Data), schema.CodeUnknownType, "")
		})
	}
}

// A nil slice or map would travel as null, which no schema here allows and typed languages trip over.
func TestNothingEncodesAsNull(t *testing.T) {
	for eventType, payload := range payloads() {
		encoded, err := json.Marshal(payload)
		require.NoError(t, err)
		require.NotContains(t, string(encoded), "null", eventType)
	}
}

// payloads mints an empty payload of everything that travels, by its type.
func payloads() map[string]any {
	out := map[string]any{"tenure.stripe.invoice.payment_failed.v1": &events.StripeNotice{}}
	for _, name := range []string{events.StepCompletedName, events.StepFailedName, events.StepProgressedName} {
		out[events.AnswerType("sample", name)] = &events.StepAnswer{}
	}
	for _, eventType := range events.Types() {
		out[eventType], _ = events.NewPayload(eventType)
	}
	return out
}

// encode writes an event as the examples are written: indented, with a line feed at the end.
func encode(t *testing.T, e events.Event, payload any) []byte {
	t.Helper()
	var err error
	e.Data, err = json.Marshal(payload)
	require.NoError(t, err)
	encoded, err := events.Encode(e)
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, json.Indent(&out, encoded, "", "  "))
	return append(out.Bytes(), '\n')
}

func files(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	require.NoError(t, fs.WalkDir(schemas.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".json") {
			out[path] = true
		}
		return err
	}))
	return out
}

func compileEnvelope(t *testing.T) *jsonschema.Schema {
	t.Helper()
	content, err := schemas.FS.ReadFile(schemas.Envelope)
	require.NoError(t, err)
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	require.NoError(t, c.AddResource(schemas.ID(schemas.Envelope), document))
	compiled, err := c.Compile(schemas.ID(schemas.Envelope))
	require.NoError(t, err)
	return compiled
}
