package app

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenure/services/connectors"
	"tenure/services/export/internal/store"
	"tenure/shared/auth"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/problem"
)

// Exports of one person's data (GDPR Article 15) are no commands of the tenant's state machine: the person's key is personal
// data, which no event and no log may hold. They are rows of this service alone, and workers take them as any other.

type subjectExportInput struct {
	ID   string `path:"id" doc:"the tenant"`
	Key  string `header:"Idempotency-Key" maxLength:"255" doc:"the same key gives the same answer and no second export"`
	Body struct {
		Subject string `json:"subject" minLength:"1" maxLength:"1024" doc:"the person's key, as the data map's subject columns hold it"`
	}
}

// SubjectExport is the answer to those who ask for one; GET /v1/exports/{export_id} shows how it goes on.
type SubjectExport struct {
	ExportID string       `json:"export_id"`
	Status   store.Status `json:"status" enum:"pending"`
	DueBy    time.Time    `json:"due_by" doc:"one calendar month after the request (GDPR Article 12(3))"`
}

type subjectExportOutput struct{ Body SubjectExport }

func (a *App) requestSubjectExport(ctx context.Context, in *subjectExportInput) (*subjectExportOutput, error) {
	if err := authorize(ctx, in.ID); err != nil {
		return nil, err
	}
	if !utf8.ValidString(in.Key) {
		return nil, problem.New(http.StatusUnprocessableEntity, problem.CodeValidation, "the Idempotency-Key is not UTF-8")
	}
	if err := (connectors.Scope{Tenant: in.ID, Subject: in.Body.Subject}).Check(); err != nil {
		return nil, problem.New(http.StatusUnprocessableEntity, problem.CodeValidation, err.Error())
	}
	job, err := a.newSubjectExport(in.ID, in.Body.Subject)
	if err != nil {
		return nil, err
	}
	var kept *store.Job
	err = a.inTx(ctx, func(tx pgx.Tx) error {
		kept, err = a.requestOnce(ctx, tx, job, in.Key)
		return err
	})
	if err != nil {
		return nil, unavailable(err)
	}
	if kept.SubjectSHA256 != subjectHash(kept.ExportID, in.Body.Subject) {
		return nil, problem.New(http.StatusConflict, "idempotency_key_reused", "the Idempotency-Key was used for another request")
	}
	a.Wake()
	return &subjectExportOutput{SubjectExport{ExportID: kept.ExportID, Status: store.Pending, DueBy: kept.DueBy.UTC()}}, nil
}

func (a *App) newSubjectExport(tenant, subject string) (store.Job, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return store.Job{}, err
	}
	now := time.Now()
	return store.Job{
		ExportID: id.String(), TenantID: tenant, RequestedAt: now, DueBy: dueBy(now, a.cfg.Day), CorrelationID: id.String(), CausationID: id.String(),
		Subject: subject, SubjectSHA256: subjectHash(id.String(), subject),
		// One person's rows are soon read, and the law has a deadline for them: they go before those of any plan.
		Rank: len(a.cfg.Plans),
	}, nil
}

// requestOnce adds the job and tells of it, or returns the one that the key asked for before.
func (a *App) requestOnce(ctx context.Context, tx pgx.Tx, job store.Job, key string) (*store.Job, error) {
	state, err := store.State(ctx, tx, job.TenantID)
	if err != nil {
		return nil, err
	}
	if gone(state) {
		return nil, errUnknownTenant()
	}
	if key == "" {
		key = job.ExportID
	}
	// What people choose as a key may name the person.
	hash := sha256.Sum256([]byte(key))
	kept, added, err := store.Request(ctx, tx, job, hex.EncodeToString(hash[:]))
	if err != nil || !added {
		return kept, err
	}
	e, err := events.New(&events.SubjectExportRequested{ExportID: job.ExportID, DueBy: job.DueBy}, job.TenantID)
	if err != nil {
		return nil, err
	}
	e.Actor, e.CorrelationID, e.CausationID = auth.FromContext(ctx).Actor(), job.CorrelationID, job.CausationID
	return kept, a.log.Append(ctx, tx, eventlog.Entry{Stream: job.TenantID, Events: []events.Event{e}})
}

// gone reports whether there is no tenant with data in this state: none was told of, or its data is being erased, or is.
func gone(state string) bool {
	return state == "" || state == "abandoned" || state == "purging" || state == "deleted"
}

// subjectHash is what stays of a person's key when the job has ended. It is keyed by the export's id, so that it cannot be
// looked up in a table of hashes, and two exports of one person cannot be told to be so.
func subjectHash(exportID, subject string) string {
	mac := hmac.New(sha256.New, []byte(exportID))
	mac.Write([]byte(subject))
	return hex.EncodeToString(mac.Sum(nil))
}

// told is what the log says of a job. One person's export has words of its own: the lifecycle, which knows nothing of it,
// waits for none, and the tenant gets no mail about it. nil is nothing.
func told(job *store.Job, p events.Payload) events.Payload {
	if job.SubjectSHA256 == "" {
		return p
	}
	switch p := p.(type) {
	case *events.ArchiveOverdue:
		return p
	case *events.ArchiveCompleted:
		return &events.SubjectExportCompleted{ExportID: p.ExportID, SHA256: p.SHA256, Bytes: p.Bytes, ExpiresAt: p.ExpiresAt}
	case *events.ArchiveFailed, *events.ArchiveCancelled:
		return &events.SubjectExportFailed{ExportID: job.ExportID}
	}
	return nil
}

// impersonal is an error that does not say the person's key: it is logged, and shown as long as the job's row is there.
type impersonal struct {
	error
	subject string
}

func (e impersonal) Error() string {
	return strings.ReplaceAll(e.error.Error(), e.subject, "(the subject)")
}
func (e impersonal) Unwrap() error { return e.error }

func withoutSubject(job *store.Job, err error) error {
	if err == nil || job.Subject == "" {
		return err
	}
	return impersonal{err, job.Subject}
}

// registerSubjectExports adds the route.
func (a *App) registerSubjectExports(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "request-subject-export", Method: http.MethodPost, Path: "/v1/tenants/{id}/subject-exports",
		Summary: "Ask for an archive of one person's data", DefaultStatus: http.StatusAccepted,
		Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity, http.StatusServiceUnavailable},
	}, a.requestSubjectExport)
}
