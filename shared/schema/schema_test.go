package schema_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tenure/shared/events"
	"tenure/shared/schema"
)

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name, command, data, code, pointer string
	}{
		{"a whole command", "upgrade", `{"plan":"professional"}`, "", ""},
		{"no data where none is needed", "cancel_change", ``, "", ""},
		{"nothing but what is new", "resume", `{"mood":"glad"}`, "", ""},
		{"no data where some is", "upgrade", ``, schema.CodeMissingField, "/plan"},
		{"the first of several that are missing", "register", `{}`, schema.CodeMissingField, "/email"},
		{"a name in another case", "upgrade", `{"PLAN":"professional"}`, schema.CodeMissingField, "/plan"},
		{"an empty name", "register", `{"name":"","email":"o@acme.example","plan":"free"}`, schema.CodeOutOfRange, "/name"},
		{"an e-mail that is none", "register", `{"name":"A","email":"acme","plan":"free"}`, schema.CodeWrongFormat, "/email"},
		{"less than no days", "register", `{"name":"A","email":"o@acme.example","plan":"free","trial_days":-1}`, schema.CodeOutOfRange, "/trial_days"},
		{"a number for a text", "upgrade", `{"plan":7}`, schema.CodeWrongType, "/plan"},
		{"null for a text", "upgrade", `{"plan":null}`, schema.CodeWrongType, "/plan"},
		{"half a day", "register", `{"name":"n","email":"a@example.com","plan":"free","trial_days":1.5}`, schema.CodeWrongType, "/trial_days"},
		{"a word that is not in the set", "downgrade", `{"plan":"free","at":"tomorrow"}`, schema.CodeNotAllowed, "/at"},
		{"the same in a list", "export", `{"include":["documents","secrets"]}`, schema.CodeNotAllowed, "/include/1"},
		{"a text that is too long", "cancel_export", `{"export_id":"` + strings.Repeat("x", 65) + `"}`, schema.CodeOutOfRange, "/export_id"},
		{"a list", "upgrade", `[]`, schema.CodeWrongType, ""},
		{"no JSON", "upgrade", `{"plan":`, schema.CodeMalformedJSON, ""},
		{"two values", "upgrade", `{"plan":"free"}{}`, schema.CodeMalformedJSON, ""},
		{"an unknown command", "explode", `{}`, schema.CodeUnknownType, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := schema.Validate(events.CommandType(c.command), []byte(c.data))
			if c.code == "" {
				require.NoError(t, err)
				return
			}
			requireError(t, err, c.code, c.pointer)
		})
	}
}

func TestErrorsQuoteNothing(t *testing.T) {
	err := schema.Validate(events.CommandType("register"), []byte(`{"name":"Jane Doe","email":"jane doe","plan":{"jane":1}}`))
	require.Error(t, err)
	require.NotContains(t, fmt.Sprint(err), "ane")
}

func requireError(t *testing.T, err error, code, pointer string) {
	t.Helper()
	var invalid *schema.Error
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, code, invalid.Code, invalid.Message)
	require.Equal(t, pointer, invalid.Pointer)
}

func BenchmarkValidate(b *testing.B) {
	for command, data := range map[string]string{
		"upgrade":  `{"plan":"professional","reason":"quarter-end campaign"}`,
		"register": `{"name":"Acme Corporation","email":"owner@acme.example","plan":"starter","region":"eu-central-1","gdpr":true,"trial_days":14}`,
	} {
		b.Run(command, func(b *testing.B) {
			eventType, body := events.CommandType(command), []byte(data)
			b.ReportAllocs()
			for b.Loop() {
				if err := schema.Validate(eventType, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
