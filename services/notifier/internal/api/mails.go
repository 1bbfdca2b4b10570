package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"tenure/services/notifier/internal/message"
	"tenure/shared/problem"
)

// Mails shows operators what people are sent. It is safe for concurrent use.
type Mails struct {
	Set *message.Set
	// BaseURL is what links begin with, without a slash at the end.
	BaseURL string
}

// Register adds the routes.
func (m *Mails) Register(api huma.API) {
	list := route("GET", "/v1/mails", "list-mails", "The mails that there are", http.StatusOK)
	list.Tags = []string{"mails"}
	huma.Register(api, list, m.list)

	show := route("GET", "/v1/mails/{template}", "preview-mail", "A mail as people get it, about a tenant and a person that do not exist", http.StatusOK)
	show.Tags = list.Tags
	// The format is the caller's choice, so that huma cannot tell it from the output's type.
	schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[MailPreview](), true, "MailPreview")
	show.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
		"application/json": {Schema: schema},
		"text/html":        {Schema: &huma.Schema{Type: huma.TypeString}},
		"text/plain":       {Schema: &huma.Schema{Type: huma.TypeString}},
	}}}
	huma.Register(api, show, m.preview)
}

// MailTemplate is a mail in the list.
type MailTemplate struct {
	Template string   `json:"template"`
	Locales  []string `json:"locales" doc:"in which it is written; whoever's locale is none of them gets English"`
	Samples  int      `json:"samples" doc:"how many forms it has"`
}

func (m *Mails) list(ctx context.Context, _ *struct{}) (*output[page[MailTemplate]], error) {
	if err := operator(ctx); err != nil {
		return nil, err
	}
	all := page[MailTemplate]{Items: []MailTemplate{}}
	for _, t := range message.Templates() {
		all.Items = append(all.Items, MailTemplate{string(t), m.Set.Locales(t), len(message.Samples(t))})
	}
	return answer(all), nil
}

// MailPreview is a mail as people get it.
type MailPreview struct {
	Template string `json:"template"`
	Locale   string `json:"locale" doc:"in which it is, which may be another than was asked for"`
	Subject  string `json:"subject"`
	Text     string `json:"text"`
	HTML     string `json:"html"`
}

type mailInput struct {
	Template string `path:"template"`
	Locale   string `query:"locale" maxLength:"35" doc:"such as de or de-AT; English when left out"`
	Sample   int    `query:"sample" minimum:"1" default:"1" doc:"which of the mail's forms"`
	Format   string `query:"format" enum:"json,html,text" default:"json"`
}

type mailOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (m *Mails) preview(ctx context.Context, in *mailInput) (*mailOutput, error) {
	if err := operator(ctx); err != nil {
		return nil, err
	}
	template := message.Template(in.Template)
	samples := message.Samples(template)
	if !slices.Contains(message.Templates(), template) || in.Sample > len(samples) {
		return nil, problem.New(http.StatusNotFound, "mail_not_found", "there is no such mail, or it has fewer forms").With("mails", message.Templates())
	}
	mail, err := m.Set.Render(template, in.Locale, message.SampleView(samples[in.Sample-1], m.BaseURL))
	if err != nil {
		return nil, err
	}
	switch in.Format {
	case "html":
		return &mailOutput{"text/html; charset=utf-8", []byte(mail.HTML)}, nil
	case "text":
		return &mailOutput{"text/plain; charset=utf-8", []byte("Subject: " + mail.Subject + "\n\n" + mail.Text)}, nil
	}
	body, err := json.Marshal(MailPreview{in.Template, mail.Locale, mail.Subject, mail.Text, mail.HTML})
	return &mailOutput{"application/json", body}, err
}
