package message_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"tenure/services/notifier/internal/message"
	"tenure/shared/testkit"
)

const base = "https://tenure.example"

func newSet(t *testing.T) *message.Set {
	t.Helper()
	set, err := message.NewSet(nil)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// The golden files show every mail as people get it.
func TestMails(t *testing.T) {
	set := newSet(t)
	for _, template := range message.Templates() {
		samples := message.Samples(template)
		if len(samples) == 0 {
			t.Errorf("%s has no sample", template)
		}
		for _, locale := range []string{"en", "de"} {
			for i, facts := range samples {
				mail, err := set.Render(template, locale, message.SampleView(facts, base))
				if err != nil || mail.Locale != locale {
					t.Errorf("%s in %s: it is in %q, %v", template, locale, mail.Locale, err)
					continue
				}
				name := fmt.Sprintf("%s/%s_%d", locale, template, i+1)
				testkit.Golden(t, name+".txt", []byte("Subject: "+mail.Subject+"\n\n"+mail.Text))
				testkit.Golden(t, name+".html", []byte(mail.HTML))
			}
		}
	}
}

// What previews show, and operators' templates are tried with, is what events lead to.
func TestSamplesAreAsEventsMakeThem(t *testing.T) {
	drafts := []message.Draft{{message.WebhookDisabled, message.Facts{EndpointID: "we_1"}}} // no event of the bus asks for it
	for _, test := range asked {
		drafts = append(drafts, test.want)
	}
	for _, test := range moments {
		drafts = append(drafts, draftsOf(t, test.events...)...)
	}
	for _, test := range alarming {
		drafts = append(drafts, message.Draft{message.OperatorAlert, test.want})
	}
	made := map[message.Template]map[string]bool{}
	for _, d := range drafts {
		if made[d.Template] == nil {
			made[d.Template] = map[string]bool{}
		}
		made[d.Template][form(t, d.Facts)] = true
	}
	for _, template := range message.Templates() {
		forms := map[string]bool{}
		for _, facts := range message.Samples(template) {
			forms[form(t, facts)] = true
		}
		if diff := cmp.Diff(made[template], forms); diff != "" {
			t.Errorf("%s: change its Samples (-events +samples):\n%s", template, diff)
		}
	}
}

// form is which facts are known.
func form(t *testing.T, f message.Facts) string {
	t.Helper()
	content, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(content, &fields); err != nil {
		t.Fatal(err)
	}
	return strings.Join(slices.Sorted(maps.Keys(fields)), " ")
}

// A mail tells the same in all languages.
func TestEveryLanguageHasEveryMailWithTheSameFacts(t *testing.T) {
	set := newSet(t)
	for _, template := range message.Templates() {
		if locales := set.Locales(template); !slices.Equal(locales, []string{"de", "en"}) {
			t.Errorf("%s is written in %v: write it in every language", template, locales)
			continue
		}
		if diff := cmp.Diff(read(t, "en", template), read(t, "de", template)); diff != "" {
			t.Errorf("%s tells other facts in German (-en +de):\n%s", template, diff)
		}
	}
}

var fact = regexp.MustCompile(`\.[A-Z]\w*`)

// read are the facts that a template has anywhere.
func read(t *testing.T, locale string, template message.Template) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("templates", locale, string(template)+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	all := fact.FindAllString(string(text), -1)
	slices.Sort(all)
	return slices.Compact(all)
}

func TestTheLanguageIsTheTenantsOwnOrEnglish(t *testing.T) {
	set := newSet(t)
	for locale, want := range map[string]string{"": "en", "en-GB": "en", "de": "de", "de_AT": "de", "DE": "de", "fr": "en", "../de": "en"} {
		mail, err := set.Render(message.Welcome, locale, message.SampleView(message.Facts{Plan: "starter"}, base))
		if err != nil || mail.Locale != want || !strings.Contains(mail.HTML, `<html lang="`+want+`">`) {
			t.Errorf("%q: in %q, %v", locale, mail.Locale, err)
		}
	}
}

// folder has files with their content.
func folder(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, content := range files {
		out[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return out
}

func TestAnOperatorsOwnMails(t *testing.T) {
	set, err := message.NewSet(folder(map[string]string{
		"de/welcome.txt":     "Hallo {{.Tenant}}\n\nSchön, dass Sie da sind.\n",
		"fr/trial_ended.txt": "{{.Tenant}}\n\nL'essai est fini. {{date .Until}}\n",
		"README.md":          "how we write",
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		template message.Template
		locale   string
		subject  string
		in       string
	}{
		{message.Welcome, "de-CH", "Hallo acme", "de"},
		{message.Recovered, "de", "Ihre Zahlung für acme ist eingegangen", "de"},
		{message.TrialEnded, "fr-CA", "acme", "fr"},
		{message.Welcome, "fr", "acme is ready", "en"},
	} {
		mail, err := set.Render(test.template, test.locale, message.SampleView(message.Facts{}, base))
		if err != nil || mail.Subject != test.subject || mail.Locale != test.in {
			t.Errorf("%s for %s: %q in %s, %v", test.template, test.locale, mail.Subject, mail.Locale, err)
		}
	}
}

func TestWrongMailsAreRefusedWithTheirLine(t *testing.T) {
	for name, test := range map[string]struct{ file, content, want string }{
		"a fact that there is not":   {"de/welcome.txt", "Hallo\n\nalso\n{{.Palace}}\n", "de/welcome.txt:4:2"},
		"a word that there is not":   {"de/welcome.txt", "Hallo\n\n{{shout .Tenant}}\n", "de/welcome.txt:3"},
		"an open bracket":            {"de/welcome.txt", "Hallo\n\n{{.Tenant\n", "de/welcome.txt:3"},
		"only in one form":           {"en/suspended.txt", "Hello\n\n{{if eq .Cause \"admin\"}}{{.Palace}}{{end}}\n", "en/suspended.txt:3"},
		"no subject":                 {"de/welcome.txt", "Hallo\nWelt\n", "de/welcome.txt:1"},
		"a name that is no mail's":   {"de/welcom.txt", "Hallo\n\nWelt\n", `no mail "welcom"; there are welcome, `},
		"a folder that is no locale": {"German/welcome.txt", "Hallo\n\nWelt\n", `"German" is no locale`},
		"a folder without mails":     {"welcome.txt", "Hallo\n\nWelt\n", "no <locale>/<template>.txt"},
	} {
		_, err := message.NewSet(folder(map[string]string{test.file: test.content}))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNamesCannotBreakAMail(t *testing.T) {
	set := newSet(t)
	for _, template := range message.Templates() {
		view := message.SampleView(message.Samples(template)[0], base)
		view.Name = "Eve\r\nBcc: all@example.com\n\n<script>alert(1)</script>"
		mail, err := set.Render(template, "de", view)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(mail.Subject, "\r\n") {
			t.Errorf("%s: a name adds lines to the head: %q", template, mail.Subject)
		}
		if strings.Contains(mail.HTML, "<script>") {
			t.Errorf("%s: a name adds markup", template)
		}
	}
}

func TestAnUnknownTemplateIsAnError(t *testing.T) {
	if _, err := newSet(t).Render("valentine", "en", message.View{}); err == nil {
		t.Error("an unknown template renders")
	}
}
