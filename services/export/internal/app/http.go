package app

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tenure/services/export/internal/blob"
	"tenure/services/export/internal/manifest"
	"tenure/services/export/internal/store"
	"tenure/shared/auth"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/problem"
	"tenure/shared/sse"
)

// Register adds the service's routes. Asking for an export of a tenant and cancelling one are commands: the lifecycle
// takes them.
func (a *App) Register(api huma.API) {
	shown := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Export](), true, "Export")
	huma.Register(api, huma.Operation{
		OperationID: "get-export", Method: http.MethodGet, Path: "/v1/exports/{export_id}",
		Summary: "An export and a fresh link to its archive, or its progress as text/event-stream",
		Errors:  []int{http.StatusNotFound, http.StatusServiceUnavailable},
		Responses: map[string]*huma.Response{"200": {
			Description: "The export; as a stream one event for each change, until it has ended",
			Content:     map[string]*huma.MediaType{"application/json": {Schema: shown}, sse.ContentType: {Schema: shown}},
		}},
	}, a.getExport)
	huma.Register(api, huma.Operation{
		OperationID: "list-exports", Method: http.MethodGet, Path: "/v1/tenants/{id}/exports",
		Summary: "A tenant's exports, the newest first; links and manifests are shown one by one",
		Errors:  []int{http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusServiceUnavailable},
	}, a.listExports)
	a.registerSubjectExports(api)
}

// Export is an export as the API shows it.
type Export struct {
	ExportID    string       `json:"export_id"`
	TenantID    string       `json:"tenant_id"`
	Status      store.Status `json:"status" enum:"pending,running,verifying,completed,failed,cancelled,expired"`
	RequestedAt time.Time    `json:"requested_at"`
	DueBy       time.Time    `json:"due_by" doc:"one calendar month after the request (GDPR Article 12(3))"`
	Since       string       `json:"since,omitempty" doc:"what did not change since is left out: a time, or the id of an earlier export"`
	Include     []string     `json:"include,omitempty"`
	EncryptTo   string       `json:"encrypt_to,omitempty"`
	// SubjectSHA256 tells that the archive is of one person, and not of whom.
	SubjectSHA256 string             `json:"subject_sha256,omitempty" doc:"of an archive of one person's data: HMAC-SHA-256 of the person's key under export_id, in hex"`
	SHA256        string             `json:"sha256,omitempty" doc:"of the archive, in hex"`
	Bytes         int64              `json:"bytes" doc:"of the archive"`
	Error         string             `json:"error,omitempty" doc:"why it failed, or what it waits for"`
	Progress      Progress           `json:"progress"`
	Manifest      *manifest.Manifest `json:"manifest,omitempty"`
	DownloadURL   string             `json:"download_url,omitempty" doc:"works for 15 minutes at most; each call makes a new one"`
	ExpiresAt     *time.Time         `json:"expires_at,omitempty"`
}

// Progress counts rows, and the bytes of the rows written. Rates are there while rows are read.
type Progress struct {
	Done           int64   `json:"done"`
	Total          int64   `json:"total"`
	Bytes          int64   `json:"bytes"`
	RowsPerSecond  float64 `json:"rows_per_second,omitempty"`
	BytesPerSecond float64 `json:"bytes_per_second,omitempty"`
	ETASeconds     int64   `json:"eta_seconds,omitempty" doc:"until all rows are read, if it goes on as it does"`
	RedoneBytes    int64   `json:"redone_bytes,omitempty" doc:"what had to be read again after interruptions"`
}

// errUnknownExport is the one answer for ids that do not exist and for those of other tenants: its bytes must not tell
// which.
func errUnknownExport() error {
	return problem.New(http.StatusNotFound, "export_not_found", "there is no such export")
}

func errUnknownTenant() error {
	return problem.New(http.StatusNotFound, "tenant_not_found", "there is no such tenant")
}

// authorize lets operators reach every tenant and a tenant's own token that tenant.
func authorize(ctx context.Context, id string) error {
	if !events.ValidTenantID(id) {
		return problem.New(http.StatusUnprocessableEntity, events.CodeInvalidTenantID, "a tenant id has 1 to 64 letters, digits, _ or -")
	}
	if !auth.FromContext(ctx).MayReach(id) {
		return errUnknownTenant()
	}
	return nil
}

// unavailable answers 503 when the database is away, so that callers try again, and leaves everything else as it is.
func unavailable(err error) error {
	var answered huma.StatusError
	if !errors.As(err, &answered) && pg.IsUnavailable(err) {
		return problem.New(http.StatusServiceUnavailable, problem.CodeUnavailable, "the service cannot reach its database; try again")
	}
	return err
}

type exportInput struct {
	ExportID string `path:"export_id"`
	Accept   string `header:"Accept"`
}

func (a *App) getExport(ctx context.Context, in *exportInput) (*huma.StreamResponse, error) {
	job, err := a.await(ctx, in.ExportID, auth.FromContext(ctx))
	if err != nil {
		return nil, unavailable(err)
	}
	if job == nil {
		return nil, errUnknownExport()
	}
	if sse.Wanted(in.Accept) {
		return &huma.StreamResponse{Body: func(hc huma.Context) { a.follow(hc, job) }}, nil
	}
	shown, err := a.show(ctx, job)
	if err != nil {
		return nil, err
	}
	return sse.JSON(shown), nil
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

// lookInterval is how soon a follower sees a change.
const lookInterval = 500 * time.Millisecond

// follow sends the export whenever it changed, until it has ended or the client is gone. What breaks on the way ends the
// stream: the client connects again.
func (a *App) follow(hc huma.Context, job *store.Job) {
	ctx := hc.Context()
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	stream := sse.Start(hc)
	for {
		shown, err := a.show(ctx, job)
		shown.Manifest = nil // it may have many files, and is shown without a stream
		if err != nil || stream.Send(shown) != nil || job.Ended() {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if job, err = store.Get(ctx, a.db, job.ExportID); err != nil || job == nil {
			return
		}
	}
}

// show adds what one export alone is shown with: its manifest and a link.
func (a *App) show(ctx context.Context, job *store.Job) (Export, error) {
	shown := summary(job)
	if job.Status != store.Completed {
		return shown, nil
	}
	if job.Manifest != nil {
		if err := json.Unmarshal(job.Manifest, &shown.Manifest); err != nil {
			return shown, err
		}
	}
	if job.ExpiresAt == nil {
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

// summary is an export as a list shows it.
func summary(job *store.Job) Export {
	shown := Export{
		ExportID: job.ExportID, TenantID: job.TenantID, Status: job.Status, RequestedAt: job.RequestedAt.UTC(), DueBy: job.DueBy.UTC(),
		Since: job.SinceExport, Include: job.Include, EncryptTo: job.EncryptTo, SubjectSHA256: job.SubjectSHA256,
		Error: job.Error, Progress: progress(job),
	}
	if job.Since != nil {
		shown.Since = job.Since.UTC().Format(time.RFC3339Nano)
	}
	if missing := job.Missing(); job.Status == store.Pending && len(missing) > 0 {
		shown.Error = "it waits for the files of " + strings.Join(missing, ", ")
	}
	if job.Status == store.Completed || job.Status == store.Expired {
		shown.SHA256, shown.Bytes, shown.ExpiresAt = job.SHA256, job.Bytes, job.ExpiresAt
	}
	return shown
}

func progress(job *store.Job) Progress {
	p := Progress{Done: job.Done, Total: job.Total, Bytes: job.ContentBytes, RedoneBytes: job.RedoneBytes}
	if job.Status != store.Running {
		return p
	}
	p.RowsPerSecond, p.BytesPerSecond = math.Round(job.RowsPerSecond), math.Round(job.BytesPerSecond)
	if left := job.Total - job.Done; left > 0 && job.RowsPerSecond > 0 {
		p.ETASeconds = int64(math.Ceil(float64(left) / job.RowsPerSecond))
	}
	return p
}

type exportsInput struct {
	ID     string `path:"id" doc:"the tenant"`
	Cursor string `query:"cursor" doc:"next_cursor of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

// Exports is one page of a list; NextCursor is null on the last.
type Exports struct {
	Items      []Export `json:"items"`
	NextCursor *string  `json:"next_cursor"`
}

type exportsOutput struct{ Body Exports }

func (a *App) listExports(ctx context.Context, in *exportsInput) (*exportsOutput, error) {
	if err := authorize(ctx, in.ID); err != nil {
		return nil, err
	}
	if in.Cursor != "" && !exportID.MatchString(in.Cursor) {
		return nil, problem.New(http.StatusUnprocessableEntity, "invalid_cursor", "a cursor is next_cursor of the page before")
	}
	state, err := store.State(ctx, a.db, in.ID)
	if err != nil {
		return nil, unavailable(err)
	}
	if state == "" {
		return nil, errUnknownTenant()
	}
	list, err := store.List(ctx, a.db, in.ID, store.Page{After: in.Cursor, Limit: in.Limit + 1})
	if err != nil {
		return nil, unavailable(err)
	}
	page := Exports{Items: []Export{}}
	if len(list) > in.Limit {
		list = list[:in.Limit]
		page.NextCursor = &list[in.Limit-1].ExportID
	}
	for _, job := range list {
		page.Items = append(page.Items, summary(job))
	}
	return &exportsOutput{page}, nil
}
