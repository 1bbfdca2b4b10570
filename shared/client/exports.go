package client

import (
	"context"
	"net/url"
	"time"
)

// Export is an archive of everything a tenant has, in the making or done.
type Export struct {
	ID string `json:"export_id"`
	// Status is pending, running, verifying, completed, failed, cancelled or expired.
	Status   string         `json:"status"`
	SHA256   string         `json:"sha256"`
	Bytes    int64          `json:"bytes"`
	Error    string         `json:"error"`
	Progress ExportProgress `json:"progress"`
	// DownloadURL is fresh at each read and works for some minutes.
	DownloadURL string    `json:"download_url"`
	ExpiresAt   time.Time `json:"expires_at"`
}

// ExportProgress counts rows and bytes.
type ExportProgress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
	Bytes int64 `json:"bytes"`
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
	Since   string   `json:"since,omitempty"`
	Include []string `json:"include,omitempty"`
}

// RequestExport begins an archive of a tenant.
func (c *Client) RequestExport(ctx context.Context, tenant string, cmd ExportRequest, opts ...Option) (Export, error) {
	return post[Export](ctx, c, tenantPath(tenant, "/export"), cmd, opts)
}

// Export reads one export.
func (c *Client) Export(ctx context.Context, id string) (Export, error) {
	return get[Export](ctx, c, "/v1/exports/"+url.PathEscape(id), nil)
}

// CancelExport stops a running export.
func (c *Client) CancelExport(ctx context.Context, id string, opts ...Option) error {
	_, err := post[ignored](ctx, c, "/v1/exports/"+url.PathEscape(id)+"/cancel", nil, opts)
	return err
}
