package events_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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
