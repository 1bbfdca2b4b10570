package client

import (
	"context"
	"iter"
	"net/url"
	"time"
)

// Export is an archive of everything a tenant has, in the making or done.
type Export struct {
	ID string `json:"export_id"`
	// Status is pending, running, verifying, completed, failed, cancelled or expired.
	Status string `json:"status"`
	// DueBy is when the law wants it done: one calendar month after the request (GDPR Article 12(3)).
	DueBy  time.Time `json:"due_by"`
	SHA256 string    `json:"sha256"`
	Bytes  int64     `json:"bytes"`
	// Error is why it failed, or what it waits for.
	Error    string         `json:"error"`
	Progress ExportProgress `json:"progress"`
	// DownloadURL is fresh at each read and works for some minutes.
	DownloadURL string    `json:"download_url"`
	ExpiresAt   time.Time `json:"expires_at"`
}

// ExportProgress counts rows, and the bytes of those written. The rates and the estimate are 0 where they are not known.
type ExportProgress struct {
	Done           int64   `json:"done"`
	Total          int64   `json:"total"`
	Bytes          int64   `json:"bytes"`
	RowsPerSecond  float64 `json:"rows_per_second"`
	BytesPerSecond float64 `json:"bytes_per_second"`
	ETASeconds     int64   `json:"eta_seconds"`
}

// Ended reports whether nothing more will happen to it, but that it expires.
func (e Export) Ended() bool {
	switch e.Status {
	case "completed", "failed", "cancelled", "expired":
		return true
	}
	return false
}

// ExportRequest is the command for an archive; empty, it asks for everything.
type ExportRequest struct {
	// Since is an RFC 3339 time, or the id of an earlier export of the tenant: only what changed since is wanted.
	Since string `json:"since,omitempty"`
	// Include are the kinds of data that are wanted; none is all.
	Include []string `json:"include,omitempty"`
	// EncryptTo is an age recipient, "age1...".
	EncryptTo string `json:"encrypt_to,omitempty"`
	// Parquet are the kinds that are wanted in that form.
	Parquet []string `json:"parquet,omitempty"`
}

// RequestExport begins an archive of a tenant.
func (c *Client) RequestExport(ctx context.Context, tenant string, cmd ExportRequest, opts ...Option) (Export, error) {
	return post[Export](ctx, c, tenantPath(tenant, "/export"), cmd, opts)
}

// Export reads one export.
func (c *Client) Export(ctx context.Context, id string) (Export, error) {
	return get[Export](ctx, c, exportPath(id), nil)
}

// WatchExport yields each change of an export until it has ended, as Watch does of an operation.
func (c *Client) WatchExport(ctx context.Context, id string) iter.Seq2[Export, error] {
	return watch[Export](ctx, c, exportPath(id))
}

// Exports lists a tenant's exports, the newest first, without their links. An error comes once, as the last.
func (c *Client) Exports(ctx context.Context, tenant string) iter.Seq2[Export, error] {
	return pages[Export](ctx, c, tenantPath(tenant, "/exports"), nil)
}

// RequestSubjectExport begins an archive of one person's data; subject is the person's key, as the SaaS knows it.
func (c *Client) RequestSubjectExport(ctx context.Context, tenant, subject string, opts ...Option) (Export, error) {
	return post[Export](ctx, c, tenantPath(tenant, "/subject-exports"), struct {
		Subject string `json:"subject"`
	}{subject}, opts)
}

// CancelExport stops a running export.
func (c *Client) CancelExport(ctx context.Context, id string, opts ...Option) error {
	_, err := post[ignored](ctx, c, exportPath(id)+"/cancel", nil, opts)
	return err
}

func exportPath(id string) string { return "/v1/exports/" + url.PathEscape(id) }
