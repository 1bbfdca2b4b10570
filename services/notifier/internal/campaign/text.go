package campaign

import (
	"errors"
	"fmt"
	"strings"
	"text/template"
	"time"

	"tenure/services/notifier/internal/language"
)

// View is what a text of a campaign sees.
type View struct {
	Tenant string
	// Name is the person's; it may be empty.
	Name string
	// Offer is how it is put; "" without one.
	Offer string
	// Until is when the offer ends or, without one, when the tenant's data will be destroyed; zero for neither.
	Until time.Time
	// Link is the way back.
	Link string
}

// Render writes a text, with the words of a locale. The first return is the subject, one line whatever the name in it holds.
func (t Text) Render(locale string, v View) (subject, body string, err error) {
	words := template.FuncMap{"date": language.Of(locale).Day}
	if subject, err = render(t.Subject, words, v); err != nil {
		return "", "", err
	}
	if body, err = render(t.Body, words, v); err != nil {
		return "", "", err
	}
	return strings.Join(strings.Fields(subject), " "), strings.TrimSpace(body), nil
}

func render(text string, words template.FuncMap, v View) (string, error) {
	parsed, err := template.New("").Option("missingkey=error").Funcs(words).Parse(text)
	if err != nil {
		return "", fmt.Errorf("campaign: %w", err)
	}
	var b strings.Builder
	if err := parsed.Execute(&b, v); err != nil {
		return "", fmt.Errorf("campaign: %w", err)
	}
	return b.String(), nil
}

// CheckText refuses a text that cannot be written, or has no way back in it.
func CheckText(t Text) error {
	const link = "https://tenure.example/back"
	_, body, err := t.Render(language.Default, View{Tenant: "acme", Name: "Ada", Offer: "20% off", Until: time.Unix(0, 0), Link: link})
	if err != nil {
		return err
	}
	if !strings.Contains(body, link) {
		return errors.New("the body has no {{.Link}}: nobody could come back by it")
	}
	return nil
}
