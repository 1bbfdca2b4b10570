package client

import (
	"context"
	"iter"
	"net/url"
)

// Root is a signed root of the log in the list of them.
type Root struct {
	Date string `json:"date"`
	// SHA256 is of the signed document, in hex.
	SHA256 string `json:"sha256"`
}

// Roots lists the signed roots of the log, the oldest first. An error comes once, as the last.
func (c *Client) Roots(ctx context.Context) iter.Seq2[Root, error] {
	return pages[Root](ctx, c, "/v1/roots", nil)
}

// Root returns the signed root of a day, as it was signed.
func (c *Client) Root(ctx context.Context, date string) ([]byte, error) {
	return get[[]byte](ctx, c, "/v1/roots/"+url.PathEscape(date), nil)
}

// RootLeaves returns what a root is made of: gzipped lines of JSON.
func (c *Client) RootLeaves(ctx context.Context, date string) ([]byte, error) {
	return get[[]byte](ctx, c, "/v1/roots/"+url.PathEscape(date)+"/leaves", nil)
}
