package language_test

import (
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"tenure/services/notifier/internal/language"
)

func TestFactsInWords(t *testing.T) {
	at := time.Date(2026, 3, 1, 0, 30, 0, 0, time.FixedZone("CET", 3600)) // still February in UTC
	for _, test := range []struct{ text, en, de, fr string }{
		{`{{date .}}`, "28 February 2026, 23:30 UTC", "28. Februar 2026 um 23:30 Uhr UTC", "2026-02-28 23:30 UTC"},
		{`{{day .}}`, "28 February 2026", "28. Februar 2026", "2026-02-28"},
		{`{{month "2026-03"}}`, "March 2026", "März 2026", "2026-03"},
		{`{{month "ever"}}`, "ever", "ever", "ever"},
		{`{{number 5.004}} {{number 5.5}}`, "5 5.5", "5 5,5", "5 5.5"},
		{`{{limit 0.0}} {{limit 7.0}}`, "unlimited 7", "unbegrenzt 7", "∞ 7"},
		{`{{unit "storage_gb"}}, {{noun "storage_gb"}}`, "GB of storage, storage", "GB Speicher, Speicher", "GB storage, storage"},
		{`{{allowance "queries"}}`, "queries a month", "Anfragen im Monat", "queries"},
		{`{{allowance "api_calls"}}`, "api calls", "api calls", "api calls"},
	} {
		for locale, want := range map[string]string{"en": test.en, "de_AT": test.de, "fr": test.fr} {
			var b strings.Builder
			text := template.Must(template.New("").Funcs(language.Of(locale).Words()).Parse(test.text))
			if err := text.Execute(&b, at); err != nil || b.String() != want {
				t.Errorf("%s in %s: %q, want %q (%v)", test.text, locale, &b, want, err)
			}
		}
	}
}

func TestFallbacks(t *testing.T) {
	for locale, want := range map[string][]string{"": nil, "de": {"de"}, "zh_Hant-TW": {"zh-hant-tw", "zh-hant", "zh"}} {
		if got := slices.Collect(language.Fallbacks(locale)); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", locale, got, want)
		}
	}
}
