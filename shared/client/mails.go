package client

import (
	"context"
	"iter"
	"net/url"
	"strconv"
)

// MailTemplate is one of the mails that people get.
type MailTemplate struct {
	Template string `json:"template"`
	// Locales in which it is written; whoever's locale is none of them gets English.
	Locales []string `json:"locales"`
	// Samples is how many forms it has.
	Samples int `json:"samples"`
}

// Mails lists the mails that people get. An error comes once, as the last.
func (c *Client) Mails(ctx context.Context) iter.Seq2[MailTemplate, error] {
	return pages[MailTemplate](ctx, c, "/v1/mails", nil)
}

// MailPreview is a mail as people get it, about a tenant and a person that do not exist.
type MailPreview struct {
	Template string `json:"template"`
	// Locale is the one that it is in, which may be another than was asked for.
	Locale  string `json:"locale"`
	Subject string `json:"subject"`
	Text    string `json:"text"`
	HTML    string `json:"html"`
}

// PreviewMail shows a mail in a locale ("" is English), in one of its forms, counted from 1.
func (c *Client) PreviewMail(ctx context.Context, template, locale string, sample int) (MailPreview, error) {
	return get[MailPreview](ctx, c, "/v1/mails/"+url.PathEscape(template), values("locale", locale, "sample", strconv.Itoa(sample)))
}
