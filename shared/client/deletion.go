package client

import (
	"context"
	"iter"
	"net/url"
	"time"
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

// Reapplication is a request to erase again what purged tenants had, after a backup brought it back.
type Reapplication struct {
	ID          string    `json:"id"`
	DryRun      bool      `json:"dry_run"`
	RequestedAt time.Time `json:"requested_at"`
	// Status is running or completed.
	Status     string      `json:"status"`
	Tombstones []Tombstone `json:"tombstones"`
}

// Tombstone is a purged tenant that has a certificate.
type Tombstone struct {
	Tenant     string `json:"tenant"`
	Generation int64  `json:"generation"`
	// FoundIn is where its certificate was found: database or bucket.
	FoundIn string `json:"found_in"`
	// Status is open, refused, counted (in a dry run) or erased.
	Status string `json:"status"`
	// Reason is why it was refused, or what it waits for.
	Reason string `json:"reason"`
	// Rows is what the stores held of it.
	Rows int64 `json:"rows"`
}

// Ended reports whether nothing is open any more.
func (r Reapplication) Ended() bool { return r.Status == "completed" }

// ReapplyDeletions begins one; WatchReapplication tells how far it is. A dry run erases nothing.
func (c *Client) ReapplyDeletions(ctx context.Context, dryRun bool, opts ...Option) (Reapplication, error) {
	return post[Reapplication](ctx, c, "/v1/deletion/reapply", map[string]bool{"dry_run": dryRun}, opts)
}

// WatchReapplication yields what became of each tenant, again and again until nothing is open. An error comes once, as the
// last.
func (c *Client) WatchReapplication(ctx context.Context, id string) iter.Seq2[Reapplication, error] {
	return watch[Reapplication](ctx, c, "/v1/deletion/reapply/"+url.PathEscape(id))
}
