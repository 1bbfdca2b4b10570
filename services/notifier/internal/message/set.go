package message

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"tenure/services/notifier/internal/language"
)

// Set is the mails in all languages that there are. It is safe for concurrent use.
type Set struct {
	// texts are by locale, as language.Canonical writes it.
	texts map[string]map[Template]*template.Template
}

//go:embed templates
var files embed.FS

// NewSet is the mails that Tenure brings along, in English and German, under those of an operator: own has files
// <locale>/<template>.txt, each in place of ours or in a language that we do not have; everything else in it is left alone,
// and nil is none. A file that is no mail, or cannot be written for each of its Samples, is refused with its line.
func NewSet(own fs.FS) (*Set, error) {
	s := &Set{texts: map[string]map[Template]*template.Template{}}
	ours, err := fs.Sub(files, "templates")
	if err != nil {
		return nil, err
	}
	if _, err := s.add(ours); err != nil {
		return nil, err
	}
	if own == nil {
		return s, nil
	}
	if _, err := fs.ReadDir(own, "."); err != nil { // which fs.Glob passes over
		return nil, err
	}
	added, err := s.add(own)
	if err != nil {
		return nil, err
	}
	if added == 0 {
		return nil, errors.New("there is no <locale>/<template>.txt in it, such as de/welcome.txt")
	}
	return s, nil
}

// localeName is a language tag, as far as folders are named by it: de, de-AT, zh-Hant.
var localeName = regexp.MustCompile(`^[a-z]{2,3}([-_][A-Za-z0-9]{2,8})*$`)

// add takes the mails of a folder in, and tells how many there are.
func (s *Set) add(folder fs.FS) (int, error) {
	names, err := fs.Glob(folder, "*/*.txt")
	if err != nil {
		return 0, err
	}
	var wrong []error
	for _, name := range names {
		wrong = append(wrong, s.addFile(folder, name))
	}
	return len(names), errors.Join(wrong...)
}

func (s *Set) addFile(folder fs.FS, name string) error {
	dir, file := path.Split(name)
	locale, mail := strings.TrimSuffix(dir, "/"), Template(strings.TrimSuffix(file, ".txt"))
	if !localeName.MatchString(locale) {
		return fmt.Errorf("%s: %q is no locale, such as de or de-AT", name, locale)
	}
	if !slices.Contains(Templates(), mail) {
		return fmt.Errorf("%s: there is no mail %q; there are %s", name, mail, list(Templates()))
	}
	content, err := fs.ReadFile(folder, name)
	if err != nil {
		return err
	}
	// It is called by its path, which its errors begin with.
	text, err := template.New(name).Option("missingkey=error").Funcs(language.Of(locale).Words()).Parse(string(content))
	if err != nil {
		return err
	}
	locale = language.Canonical(locale)
	if s.texts[locale] == nil {
		s.texts[locale] = map[Template]*template.Template{}
	}
	s.texts[locale][mail] = text
	for _, facts := range Samples(mail) {
		if _, err := s.Render(mail, locale, SampleView(facts, "https://tenure.example")); err != nil {
			return err
		}
	}
	return nil
}

func list(templates []Template) string {
	names := make([]string, len(templates))
	for i, t := range templates {
		names[i] = string(t)
	}
	return strings.Join(names, ", ")
}

// find is a mail in a locale, else in its language, else in English, and in what it was found; nil where there is no such
// mail.
func (s *Set) find(t Template, locale string) (*template.Template, string) {
	for l := range language.Fallbacks(locale) {
		if text, ok := s.texts[l][t]; ok {
			return text, l
		}
	}
	return s.texts[language.Default][t], language.Default
}

// Locales lists in what a mail is written.
func (s *Set) Locales(t Template) []string {
	locales := slices.Collect(maps.Keys(s.texts))
	locales = slices.DeleteFunc(locales, func(l string) bool { return s.texts[l][t] == nil })
	slices.SortFunc(locales, cmp.Compare[string])
	return locales
}
