package events_test

import (
	"encoding/base64"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tenure/shared/events"
)

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

func requireCode(t *testing.T, code string, err error) {
	t.Helper()
	var refused *events.FormatError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, code, refused.Code, refused.Message)
}
