package app

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tenure/services/export/internal/blob"
	"tenure/services/export/internal/manifest"
	"tenure/services/export/internal/store"
	"tenure/shared/auth"
	"tenure/shared/pg"
	"tenure/shared/problem"
)

// Register adds the service's routes. Asking for an export and cancelling one are commands: the lifecycle takes them.
func (a *App) Register(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "get-export", Method: http.MethodGet, Path: "/v1/exports/{export_id}", Summary: "An export and a fresh link to its archive",
	}, a.getExport)
}

// Export is an export as the API shows it.
type Export struct {
	ExportID    string             `json:"export_id"`
	TenantID    string             `json:"tenant_id"`
	Status      store.Status       `json:"status" enum:"pending,running,verifying,completed,failed,cancelled,expired"`
	RequestedAt time.Time          `json:"requested_at"`
	SHA256      string             `json:"sha256,omitempty" doc:"of the archive, in hex"`
	Bytes       int64              `json:"bytes" doc:"of the archive"`
	Error       string             `json:"error,omitempty" doc:"why it failed, or what it waits for"`
	Progress    Progress           `json:"progress"`
	Manifest    *manifest.Manifest `json:"manifest,omitempty"`
	DownloadURL string             `json:"download_url,omitempty" doc:"works for 15 minutes at most; each call makes a new one"`
	ExpiresAt   *time.Time         `json:"expires_at,omitempty"`
}

// Progress counts rows, and the bytes of the rows written.
type Progress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
	Bytes int64 `json:"bytes"`
}

type exportInput struct {
	ExportID string `path:"export_id"`
}

type exportOutput struct{ Body Export }

// errUnknownExport is the one answer for ids that do not exist and for those of other tenants: its bytes must not tell
// which.
func errUnknownExport() error {
	return problem.New(http.StatusNotFound, "export_not_found", "there is no such export")
}

func (a *App) getExport(ctx context.Context, in *exportInput) (*exportOutput, error) {
	job, err := a.await(ctx, in.ExportID, auth.FromContext(ctx))
	if pg.IsUnavailable(err) {
		return nil, problem.New(http.StatusServiceUnavailable, "unavailable", "the service cannot reach its database; try again")
	}
	if err != nil {
		return nil, err
	}
	if job == nil {
		return nil, errUnknownExport()
	}
	shown, err := a.show(ctx, job)
	if err != nil {
		return nil, err
	}
	return &exportOutput{Body: shown}, nil
}

const (
	awaitTime     = time.Second
	awaitInterval = 50 * time.Millisecond
)

// await reads a job that the caller may see, and gives one that is not there a moment to come: the lifecycle names an
// export before the event that makes it known here has arrived, and its caller may be faster than the event. Another
// tenant's export is waited for just as long, so that not even the time tells that it exists.
func (a *App) await(ctx context.Context, exportID string, caller auth.Principal) (*store.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, awaitTime)
	defer cancel()
	tick := time.NewTicker(awaitInterval)
	defer tick.Stop()
	for {
		job, err := store.Get(ctx, a.db, exportID)
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
		if job != nil && caller.MayReach(job.TenantID) {
			return job, nil
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-tick.C:
		}
	}
}

func (a *App) show(ctx context.Context, job *store.Job) (Export, error) {
	shown := Export{
		ExportID: job.ExportID, TenantID: job.TenantID, Status: job.Status, RequestedAt: job.RequestedAt.UTC(), Error: job.Error,
		Progress: Progress{Done: job.Done, Total: job.Total, Bytes: job.ContentBytes},
	}
	if job.Status != store.Completed && job.Status != store.Expired {
		return shown, nil
	}
	shown.SHA256, shown.Bytes, shown.ExpiresAt = job.SHA256, job.Bytes, job.ExpiresAt
	if job.Manifest != nil {
		if err := json.Unmarshal(job.Manifest, &shown.Manifest); err != nil {
			return shown, err
		}
	}
	if job.Status != store.Completed || job.ExpiresAt == nil {
		return shown, nil
	}
	// No link outlives its archive.
	left := time.Until(*job.ExpiresAt)
	if left < time.Second {
		return shown, nil
	}
	var err error
	shown.DownloadURL, err = a.blobs.Link(ctx, blob.Key(job.TenantID, job.ExportID), left)
	return shown, err
}
