package message

import (
	"bytes"
	"embed"
	"fmt"
	htmltemplate "html/template"
	"math"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// View is what a template sees.
type View struct {
	Facts
	Tenant string
	// Name is the person's; it may be empty.
	Name string
	// BaseURL is where people reach Tenure, without a slash at the end.
	BaseURL string
	// Undo is the link that calls off what the mail tells of.
	Undo string
}

// Mail is a rendered message.
type Mail struct {
	Subject string
	Text    string
	HTML    string
}

//go:embed templates
var files embed.FS

// Each template is a text: the subject in the first line, an empty line, paragraphs. The HTML form is made from the
// rendered text, so that the two can never say different things.
var (
	texts  = parseTexts("templates/en")
	layout = htmltemplate.Must(htmltemplate.ParseFS(files, "templates/layout.html"))
)

// parseTexts panics on a template that is missing or broken: the program cannot have been tested.
func parseTexts(dir string) map[Template]*template.Template {
	out := map[Template]*template.Template{}
	for _, t := range Templates() {
		name := string(t) + ".txt"
		parsed := template.New(name).Option("missingkey=error").Funcs(words)
		out[t] = template.Must(parsed.ParseFS(files, dir+"/"+name))
	}
	return out
}

// words are the functions that write facts for people.
var words = template.FuncMap{"date": date, "month": month, "noun": noun, "number": number, "unit": unit}

// date writes a time for people anywhere.
func date(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }

// month writes a calendar month, 2026-08, in words.
func month(period string) string {
	t, err := time.Parse("2006-01", period)
	if err != nil {
		return period
	}
	return t.Format("January 2006")
}

// number writes a count as it is and a measure with two decimals at most.
func number(n float64) string { return strconv.FormatFloat(math.Round(n*100)/100, 'f', -1, 64) }

// noun names what a metric is about: the storage of storage_gb.
func noun(metric string) string {
	return strings.ReplaceAll(strings.TrimSuffix(metric, "_gb"), "_", " ")
}

// unit names what a metric counts.
func unit(metric string) string {
	if strings.HasSuffix(metric, "_gb") {
		return "GB of " + noun(metric)
	}
	return noun(metric)
}

// Render writes one mail.
func Render(t Template, v View) (Mail, error) {
	text, known := texts[t]
	if !known {
		return Mail{}, fmt.Errorf("message: no template %q", t)
	}
	var b strings.Builder
	if err := text.Execute(&b, v); err != nil {
		return Mail{}, fmt.Errorf("message: %w", err)
	}
	subject, body, ok := strings.Cut(b.String(), "\n\n")
	if !ok || strings.ContainsAny(subject, "\r\n") {
		return Mail{}, fmt.Errorf("message: template %q does not begin with one line of subject and an empty one", t)
	}
	return Compose(subject, body, "")
}

// Compose makes a mail of a text that is written already. picture is the address of one that the HTML form loads; "" is
// none.
func Compose(subject, body, picture string) (Mail, error) {
	body = strings.TrimSpace(body)
	html, err := renderHTML(subject, body, picture)
	return Mail{Subject: subject, Text: body + "\n", HTML: html}, err
}

// paragraph is a text, or a link that stands alone.
type paragraph struct{ Text, Link string }

func renderHTML(subject, body, picture string) (string, error) {
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
		Subject    string
		Paragraphs []paragraph
		Picture    string
	}{subject, paragraphs, picture}
	if err := layout.Execute(&b, data); err != nil {
		return "", fmt.Errorf("message: layout: %w", err)
	}
	return b.String(), nil
}
