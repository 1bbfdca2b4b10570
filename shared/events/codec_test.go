package events_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tenure/shared/events"
)

// stepRequested is of the size and make that travel most: every attribute, some 640 bytes.
func stepRequested() events.Event {
	return events.Event{
		ID:            "acme-42.17",
		Source:        "tenure/lifecycle",
		Type:          "tenure.lifecycle.step.requested.v1",
		Subject:       "acme-42",
		Time:          time.Date(2026, 3, 1, 10, 0, 0, 123456000, time.UTC),
		Sequence:      17,
		CorrelationID: "0f8fad5b-d9cb-469f-a165-70867728950e",
		CausationID:   "acme-42.16",
		Actor:         "operator:ada",
		TraceParent:   "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		Data: json.RawMessage(`{"from_state":"upgrading","to_state":"upgrading","step_id":"op_1.1","operation_id":"op_1",` +
			`"operation":"upgrade","participant":"sample","action":"provision","attempt":1,"from_plan":"starter",` +
			`"to_plan":"professional","generation":1,"deadline":"2026-03-01T10:01:00Z"}`),
	}
}

// minimal has nothing but what must be there.
const minimal = `{"specversion":"1.0","id":"1","source":"crm","type":"tenure.command.resume.v1","subject":"acme"}`

// anyEvent draws events that are valid, with texts that need every kind of escape.
func anyEvent() *rapid.Generator[events.Event] {
	text := rapid.StringMatching(`[a-zA-Z0-9"\\%<>&/ :é漢🙂-]{0,60}`)
	required := rapid.StringMatching(`[a-z][a-zA-Z0-9"\\%/ é漢-]{0,40}[a-z]`)
	return rapid.Custom(func(t *rapid.T) events.Event {
		e := events.Event{
			ID:            required.Draw(t, "id"),
			Source:        rapid.StringMatching(`[a-z]{1,10}(/[a-z]{1,10}){0,2}`).Draw(t, "source"),
			Type:          required.Draw(t, "type"),
			Subject:       rapid.StringMatching(`[A-Za-z0-9_-]{1,64}`).Draw(t, "subject"),
			Sequence:      int64(rapid.Int32Min(0).Draw(t, "sequence")),
			CorrelationID: text.Draw(t, "correlation"),
			CausationID:   text.Draw(t, "causation"),
			Actor:         text.Draw(t, "actor"),
			TraceParent:   text.Draw(t, "traceparent"),
		}
		if rapid.Bool().Draw(t, "has time") {
			e.Time = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")).UTC()
		}
		if rapid.Bool().Draw(t, "has data") {
			data, err := json.Marshal(rapid.MapOf(text, text).Draw(t, "data"))
			require.NoError(t, err)
			e.Data = data
		}
		return e
	})
}

// The sdk is the judge of what a CloudEvent is: it must read in our bytes what we meant.
func TestEncodeIsWhatTheSDKReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent().Draw(t, "event")
		encoded, err := events.Encode(e)
		require.NoError(t, err)

		var sdk cloudevents.Event
		require.NoError(t, json.Unmarshal(encoded, &sdk))
		require.NoError(t, sdk.Validate())
		require.Equal(t, e, fromSDK(t, sdk))
	})
}

// And what the sdk writes must be read by us.
func TestDecodeReadsWhatTheSDKWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent().Draw(t, "event")
		encoded, err := json.Marshal(toSDK(t, e))
		require.NoError(t, err)

		got, err := events.Decode(nil, encoded)
		require.NoError(t, err)
		require.Equal(t, e, got)
	})
}

func TestBothEncodingsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent().Draw(t, "event")

		body, err := events.Encode(e)
		require.NoError(t, err)
		got, err := events.Decode(nil, body)
		require.NoError(t, err)
		require.Equal(t, e, got, "structured")

		header, body, err := events.EncodeBinary(e)
		require.NoError(t, err)
		for name, values := range header {
			for _, c := range []byte(values[0]) {
				require.True(t, c > ' ' && c < 0x7f, "%s: %q is not printable ASCII", name, values[0])
			}
		}
		got, err = events.Decode(header, body)
		require.NoError(t, err)
		require.Equal(t, e, got, "binary")
	})
}

func TestDecodeBinaryHeaders(t *testing.T) {
	valid := map[string][]string{
		"ce-specversion": {"1.0"},
		"ce-id":          {"1"},
		"ce-source":      {"crm"},
		"ce-type":        {"tenure.command.resume.v1"},
		"ce-subject":     {"acme"},
	}
	with := func(name string, values ...string) map[string][]string {
		h := maps.Clone(valid)
		h[name] = values
		return h
	}
	t.Run("names in any case, other headers passed over", func(t *testing.T) {
		h := map[string][]string{"Nats-Msg-Id": {"x"}, "Content-Type": {"application/json; charset=utf-8"}, "ce-": {"x"}, "ce-other": {"a", "b"}}
		for name, values := range valid {
			h["CE-"+strings.ToUpper(name[len("ce-"):])] = values
		}
		e, err := events.Decode(h, []byte(` {"reason":"paid"} `))
		require.NoError(t, err)
		require.Equal(t, "acme", e.Subject)
		require.JSONEq(t, `{"reason":"paid"}`, string(e.Data))
	})
	t.Run("values are percent-decoded once", func(t *testing.T) {
		for sent, meant := range map[string]string{
			"caf%C3%A9": "café", "a%20b": "a b", "%22q%22": `"q"`, "50%25": "50%", "%2541": "%41", "%c3%a9": "é",
			"50%": "50%", "5%zz": "5%zz", "%4": "%4", // by programs that do not know the rule
		} {
			e, err := events.Decode(with("ce-id", sent), nil)
			require.NoError(t, err, sent)
			require.Equal(t, meant, e.ID, sent)
		}
	})
	t.Run("refused", func(t *testing.T) {
		for code, h := range map[string]map[string][]string{
			events.CodeDuplicateAttribute:     with("CE-ID", "2"),
			events.CodeInvalidAttribute:       with("ce-id", "%FF"),
			events.CodeUnsupportedContentType: with("ce-datacontenttype", "text/xml"),
			events.CodeInvalidSequence:        with("ce-sequence", "first"),
			events.CodeInvalidTenantID:        with("ce-subject", "a%2Eb"),
		} {
			_, err := events.Decode(h, nil)
			requireCode(t, code, err)
		}
		_, err := events.Decode(with("ce-id", "1", "2"), nil)
		requireCode(t, events.CodeDuplicateAttribute, err)
		_, err = events.Decode(with("content-type", "application/avro"), nil)
		requireCode(t, events.CodeUnsupportedContentType, err)
		_, err = events.Decode(valid, []byte(`{"reason":`))
		requireCode(t, events.CodeMalformedJSON, err)
	})
}

func TestDecodeKnowsTheEncoding(t *testing.T) {
	ceID := map[string][]string{"ce-id": {"not this"}}
	for name, contentType := range map[string]string{
		"canonical": "Content-Type", "lower case": "content-type",
	} {
		t.Run("structured by "+name, func(t *testing.T) {
			h := maps.Clone(ceID)
			h[contentType] = []string{"application/cloudevents+json; charset=UTF-8"}
			e, err := events.Decode(h, []byte(minimal))
			require.NoError(t, err)
			require.Equal(t, "1", e.ID)
		})
	}
	t.Run("a batch is refused", func(t *testing.T) {
		_, err := events.Decode(map[string][]string{"Content-Type": {"application/cloudevents-batch+json"}}, []byte(`[`+minimal+`]`))
		requireCode(t, events.CodeUnsupportedContentType, err)
	})
}

func TestDecodeStructuredLeniency(t *testing.T) {
	for name, member := range map[string]string{
		"unknown extension":    `,"comexampleother":{"a":[1,"}"]}`,
		"other case of a name": `,"ID":"2"`,
		"null attribute":       `,"actor":null`,
		"null data":            `,"data":null`,
		"data schema":          `,"dataschema":"urn:x","datacontenttype":"application/json"`,
		"white space":          " \n\t\r, \"x\" : [ ] ",
	} {
		t.Run(name, func(t *testing.T) {
			e, err := events.Decode(nil, []byte(minimal[:len(minimal)-1]+member+"}\n"))
			require.NoError(t, err)
			require.Equal(t, events.Event{ID: "1", Source: "crm", Type: "tenure.command.resume.v1", Subject: "acme"}, e)
		})
	}
	t.Run("sequence as the string that the extension's text asks for", func(t *testing.T) {
		e, err := events.Decode(nil, []byte(minimal[:len(minimal)-1]+`,"sequence":"17"}`))
		require.NoError(t, err)
		require.EqualValues(t, 17, e.Sequence)
	})
	t.Run("JSON in base64", func(t *testing.T) {
		data := base64.StdEncoding.EncodeToString([]byte(`{"reason":"paid"}`))
		e, err := events.Decode(nil, []byte(minimal[:len(minimal)-1]+`,"data_base64":"`+data+`"}`))
		require.NoError(t, err)
		require.JSONEq(t, `{"reason":"paid"}`, string(e.Data))
	})
	t.Run("a type of the future", func(t *testing.T) {
		e, err := events.Decode(nil, []byte(strings.Replace(minimal, "resume.v1", "resume.v7", 1)))
		require.NoError(t, err)
		_, err = e.Payload()
		require.ErrorIs(t, err, events.ErrUnknownType)
	})
	t.Run("an unknown field of a known version", func(t *testing.T) {
		e, err := events.Decode(nil, []byte(minimal[:len(minimal)-1]+`,"data":{"reason":"paid","mood":"glad"}}`))
		require.NoError(t, err)
		p, err := e.Payload()
		require.NoError(t, err)
		require.Equal(t, &events.Resume{Reason: "paid"}, p)
	})
}

func TestDecodeRefuses(t *testing.T) {
	replaced := func(old, now string) string { return strings.Replace(minimal, old, now, 1) }
	added := func(member string) string { return minimal[:len(minimal)-1] + "," + member + "}" }

	cases := []struct{ name, code, body string }{
		{"nothing", events.CodeMalformedJSON, ""},
		{"half an object", events.CodeMalformedJSON, minimal[:40]},
		{"an array", events.CodeMalformedJSON, "[" + minimal + "]"},
		{"something after it", events.CodeMalformedJSON, minimal + "{}"},
		{"a comma too many", events.CodeMalformedJSON, minimal[:len(minimal)-1] + ",}"},
		{"no colon", events.CodeMalformedJSON, `{"id" "1"}`},
		{"a name without quotes", events.CodeMalformedJSON, `{id:"1"}`},
		{"brackets that do not match", events.CodeMalformedJSON, added(`"data":{"a":[1}]`)},
		{"a word", events.CodeMalformedJSON, added(`"data":nil`)},
		{"a raw line feed in a text", events.CodeMalformedJSON, added("\"actor\":\"a\nb\"")},
		{"bytes that are not UTF-8", events.CodeMalformedJSON, added("\"data\":\"\xff\"")},
		{"base64 that is none", events.CodeMalformedJSON, added(`"data_base64":"?"`)},
		{"base64 of no JSON", events.CodeMalformedJSON, added(`"data_base64":"eA=="`)},
		{"two kinds of data", events.CodeDuplicateAttribute, added(`"data":1,"data_base64":"MQ=="`)},
		{"two ids", events.CodeDuplicateAttribute, added(`"id":"2"`)},
		{"two ids, one written otherwise", events.CodeDuplicateAttribute, added(`"\u0069d":"2"`)},
		{"specversion 0.3", events.CodeUnsupportedSpecVersion, replaced("1.0", "0.3")},
		{"no specversion", events.CodeUnsupportedSpecVersion, replaced(`"specversion":"1.0",`, "")},
		{"no id", events.CodeMissingID, replaced(`"id":"1",`, "")},
		{"a blank id", events.CodeMissingID, replaced(`"id":"1"`, `"id":" "`)},
		{"an empty id", events.CodeMissingID, replaced(`"id":"1"`, `"id":""`)},
		{"an id that is a number", events.CodeInvalidAttribute, replaced(`"id":"1"`, `"id":1`)},
		{"an id that is too long", events.CodeInvalidAttribute, replaced(`"id":"1"`, `"id":"`+strings.Repeat("x", events.MaxAttribute+1)+`"`)},
		{"a NUL in the id", events.CodeInvalidAttribute, replaced(`"id":"1"`, `"id":"a\u0000"`)},
		{"no source", events.CodeMissingSource, replaced(`"source":"crm",`, "")},
		{"no type", events.CodeMissingType, replaced(`"type":"tenure.command.resume.v1",`, "")},
		{"no subject", events.CodeInvalidTenantID, replaced(`,"subject":"acme"`, "")},
		{"a time that is none", events.CodeInvalidTime, added(`"time":"yesterday"`)},
		{"a time before all calendars", events.CodeInvalidTime, added(`"time":"0000-01-01T00:00:00Z"`)},
		{"a negative sequence", events.CodeInvalidSequence, added(`"sequence":-1`)},
		{"half a sequence", events.CodeInvalidSequence, added(`"sequence":1.5`)},
		{"data of another kind", events.CodeUnsupportedContentType, added(`"datacontenttype":"text/xml","data":"<a/>"`)},
		{"NUL in data", events.CodeUnstorableData, added(`"data":{"reason":"\\\u0000"}`)},
		{"half a surrogate pair", events.CodeUnstorableData, added(`"data":{"reason":"\ud83dx"}`)},
		{"the other half", events.CodeUnstorableData, added(`"data":{"reason":"\uDE00"}`)},
		{"one byte too much", events.CodeTooLarge, minimal + strings.Repeat(" ", events.MaxBody+1-len(minimal))},
	}
	for _, id := range []string{"", "x' OR 1=1", "a.>", "*", ">", "../", "a b", "a\\nb", "a.b", "é", strings.Repeat("x", 65)} {
		cases = append(cases, struct{ name, code, body string }{"tenant " + id, events.CodeInvalidTenantID, replaced("acme", id)})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := events.Decode(nil, []byte(c.body))
			requireCode(t, c.code, err)
		})
	}
	t.Run("but takes the last byte that is allowed", func(t *testing.T) {
		_, err := events.Decode(nil, []byte(minimal+strings.Repeat(" ", events.MaxBody-len(minimal))))
		require.NoError(t, err)
	})
	t.Run("but takes escapes that are whole", func(t *testing.T) {
		_, err := events.Decode(nil, []byte(added(`"data":"\ud83d\ude00 \\u0000 \u00e9 \"\n"`)))
		require.NoError(t, err)
	})
}

// A dead letter names the message it is about, even though the message was refused.
func TestDecodeReturnsWhatWasReadable(t *testing.T) {
	e, err := events.Decode(nil, []byte(strings.Replace(minimal, "acme", "a.>", 1)))
	requireCode(t, events.CodeInvalidTenantID, err)
	require.Equal(t, "1", e.ID)
	require.Equal(t, "tenure.command.resume.v1", e.Type)
}

func TestEncodeRefusesWhatDecodeWouldRefuse(t *testing.T) {
	for code, spoil := range map[string]func(*events.Event){
		events.CodeMissingID:        func(e *events.Event) { e.ID = "" },
		events.CodeMissingSource:    func(e *events.Event) { e.Source = "" },
		events.CodeMissingType:      func(e *events.Event) { e.Type = "" },
		events.CodeInvalidTenantID:  func(e *events.Event) { e.Subject = "a.>" },
		events.CodeInvalidSequence:  func(e *events.Event) { e.Sequence = -1 },
		events.CodeInvalidTime:      func(e *events.Event) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		events.CodeInvalidAttribute: func(e *events.Event) { e.Actor = "a\x00b" },
		events.CodeTooLarge: func(e *events.Event) {
			e.Data = json.RawMessage(`"` + strings.Repeat("x", events.MaxBody) + `"`)
		},
	} {
		e := stepRequested()
		spoil(&e)
		_, err := events.Encode(e)
		requireCode(t, code, err)
		_, _, err = events.EncodeBinary(e)
		requireCode(t, code, err)
	}
}

// FuzzDecode holds three things on any bytes: what encoding/json refuses is refused; what is accepted comes out again
// the same in both encodings; and nothing panics.
func FuzzDecode(f *testing.F) {
	whole, err := events.Encode(stepRequested())
	require.NoError(f, err)
	for _, seed := range []string{
		minimal, string(whole), "", "{}", "[]", `{"id":1}`, `{"data":"\u0000"}`, `{"a":{"b":["}\""]}} `,
		minimal[:len(minimal)-1] + `,"data":{"a":"\ud83d\ude00\\"},"sequence":"9","time":"2026-01-01T00:00:00+02:00"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := events.Decode(nil, body)
		if err != nil {
			var refused *events.FormatError
			require.ErrorAs(t, err, &refused)
			return
		}
		require.True(t, json.Valid(body), "accepted what is not JSON")
		require.Empty(t, namedOtherwise(t, body, e), "encoding/json reads another event")

		again, err := events.Encode(e)
		if refused := (*events.FormatError)(nil); errors.As(err, &refused) && refused.Code == events.CodeTooLarge {
			return // escapes may take more room than the text did
		}
		require.NoError(t, err)
		got, err := events.Decode(nil, again)
		require.NoError(t, err)
		require.Equal(t, e, got)

		header, data, err := events.EncodeBinary(e)
		require.NoError(t, err)
		got, err = events.Decode(header, data)
		require.NoError(t, err)
		require.Equal(t, e, got)
	})
}

// namedOtherwise lists the attributes of which a plain map of the same JSON says something else than e.
func namedOtherwise(t *testing.T, body []byte, e events.Event) []string {
	var plain map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(body, &plain))
	var out []string
	for name, got := range map[string]string{
		"id": e.ID, "source": e.Source, "type": e.Type, "subject": e.Subject, "actor": e.Actor,
		"correlationid": e.CorrelationID, "causationid": e.CausationID, "traceparent": e.TraceParent,
	} {
		var want string
		if raw, ok := plain[name]; ok {
			require.NoError(t, json.Unmarshal(raw, &want))
		}
		if got != want {
			out = append(out, fmt.Sprintf("%s: %q, not %q", name, got, want))
		}
	}
	if raw := plain["data"]; e.Data != nil && raw != nil && !bytes.Equal(raw, e.Data) {
		out = append(out, "data")
	}
	slices.Sort(out)
	return out
}

func requireCode(t *testing.T, code string, err error) {
	t.Helper()
	var refused *events.FormatError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, code, refused.Code, refused.Message)
}

func fromSDK(t require.TestingT, sdk cloudevents.Event) events.Event {
	extension := func(name string) string {
		text, err := types.Format(sdk.Extensions()[name])
		if sdk.Extensions()[name] == nil {
			return ""
		}
		require.NoError(t, err)
		return text
	}
	e := events.Event{
		ID: sdk.ID(), Source: sdk.Source(), Type: sdk.Type(), Subject: sdk.Subject(), Time: sdk.Time(),
		CorrelationID: extension("correlationid"), CausationID: extension("causationid"),
		Actor: extension("actor"), TraceParent: extension("traceparent"),
		Data: sdk.Data(),
	}
	if n, ok := sdk.Extensions()["sequence"]; ok {
		i, err := types.ToInteger(n)
		require.NoError(t, err)
		e.Sequence = int64(i)
	}
	return e
}

func toSDK(t require.TestingT, e events.Event) cloudevents.Event {
	sdk := cloudevents.New()
	sdk.SetID(e.ID)
	sdk.SetSource(e.Source)
	sdk.SetType(e.Type)
	sdk.SetSubject(e.Subject)
	if !e.Time.IsZero() {
		sdk.SetTime(e.Time)
	}
	for name, value := range map[string]string{
		"correlationid": e.CorrelationID, "causationid": e.CausationID, "actor": e.Actor, "traceparent": e.TraceParent,
	} {
		if value != "" {
			sdk.SetExtension(name, value)
		}
	}
	if e.Sequence != 0 {
		sdk.SetExtension("sequence", e.Sequence)
	}
	if e.Data != nil {
		require.NoError(t, sdk.SetData(cloudevents.ApplicationJSON, e.Data))
	}
	return sdk
}

func BenchmarkEncode(b *testing.B) {
	e := stepRequested()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := events.Encode(e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	body, err := events.Encode(stepRequested())
	require.NoError(b, err)
	header := map[string][]string{"Nats-Msg-Id": {"3-1234567"}}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := events.Decode(header, body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeSDK is what Decode would cost by the sdk, which does not even check that data is JSON.
func BenchmarkDecodeSDK(b *testing.B) {
	body, err := events.Encode(stepRequested())
	require.NoError(b, err)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var e cloudevents.Event
		if err := e.UnmarshalJSON(body); err != nil {
			b.Fatal(err)
		}
	}
}
