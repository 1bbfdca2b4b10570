package message

import (
	"bytes"
	"fmt"
	htmltemplate "html/template"
	"strings"
)

// View is what a template sees.
type View struct {
	Facts
	Tenant string
	// Name is the person's; it may be empty.
	Name string
	// BaseURL is where people reach Tenure, without a slash at the end.
	BaseURL string
	// Undo is the link that calls off what the mail tells of; only some have one.
	Undo string
}

// Mail is a rendered message.
type Mail struct {
	// Locale that it is in, which may be a more general one than was asked for, or English.
	Locale  string
	Subject string
	Text    string
	HTML    string
}

// The HTML form is made from the rendered text, so that the two can never say different things.
var layout = htmltemplate.Must(htmltemplate.ParseFS(files, "templates/layout.html"))

// Render writes one mail. A template is a text: the subject in the first line, an empty line, paragraphs.
func (s *Set) Render(t Template, locale string, v View) (Mail, error) {
	text, locale := s.find(t, locale)
	if text == nil {
		return Mail{}, fmt.Errorf("message: no template %q", t)
	}
	var b strings.Builder
	if err := text.Execute(&b, v); err != nil {
		return Mail{}, fmt.Errorf("message: %w", err)
	}
	subject, body, ok := strings.Cut(b.String(), "\n\n")
	if !ok || strings.ContainsAny(subject, "\r\n") {
		return Mail{}, fmt.Errorf("message: template: %s:1: it does not begin with one line of subject and an empty one", text.Name())
	}
	return Compose(locale, subject, body, "")
}

// Compose makes a mail of a text that is written already. picture is the address of one that the HTML form loads; "" is
// none.
func Compose(locale, subject, body, picture string) (Mail, error) {
	body = strings.TrimSpace(body)
	html, err := renderHTML(locale, subject, body, picture)
	return Mail{Locale: locale, Subject: subject, Text: body + "\n", HTML: html}, err
}

// paragraph is a text, or a link that stands alone.
type paragraph struct{ Text, Link string }

func renderHTML(locale, subject, body, picture string) (string, error) {
	var paragraphs []paragraph
	for text := range strings.SplitSeq(body, "\n\n") {
		text = strings.TrimSpace(text)
		if strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://") {
			paragraphs = append(paragraphs, paragraph{Link: text})
		} else if text != "" {
			paragraphs = append(paragraphs, paragraph{Text: text})
		}
	}
	var b bytes.Buffer
	data := struct {
		Locale, Subject string
		Paragraphs      []paragraph
		Picture         string
	}{locale, subject, paragraphs, picture}
	if err := layout.Execute(&b, data); err != nil {
		return "", fmt.Errorf("message: layout: %w", err)
	}
	return b.String(), nil
}
