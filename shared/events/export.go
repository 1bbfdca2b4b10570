package events

import (
	"time"
)

// ArchiveStarted says that a worker reads the tenant's stores.
type ArchiveStarted struct {
	ExportID string `json:"export_id"`
}

// EventType names the type on the bus.
func (*ArchiveStarted) EventType() string { return "tenure.export.export.started.v1" }

// ArchiveProgressed tells how far the archive is.
type ArchiveProgressed struct {
	ExportID string `json:"export_id"`
	Done     int64  `json:"done"`
	Total    int64  `json:"total"`
	Bytes    int64  `json:"bytes"`
}

// EventType names the type on the bus.
func (*ArchiveProgressed) EventType() string { return "tenure.export.export.progressed.v1" }

// ArchiveCompleted says that the archive was read back and verified.
type ArchiveCompleted struct {
	ExportID  string           `json:"export_id"`
	SHA256    string           `json:"sha256"`
	Bytes     int64            `json:"bytes"`
	Counts    map[string]int64 `json:"counts,omitempty"`
	ExpiresAt time.Time        `json:"expires_at"`
}

// EventType names the type on the bus.
func (*ArchiveCompleted) EventType() string { return "tenure.export.export.completed.v1" }

// ArchiveFailed says why there is no archive.
type ArchiveFailed struct {
	ExportID string `json:"export_id"`
	Error    string `json:"error"`
}

// EventType names the type on the bus.
func (*ArchiveFailed) EventType() string { return "tenure.export.export.failed.v1" }

// ArchiveCancelled says that the worker stopped and removed its parts.
type ArchiveCancelled struct {
	ExportID string `json:"export_id"`
}

// EventType names the type on the bus.
func (*ArchiveCancelled) EventType() string { return "tenure.export.export.cancelled.v1" }

// ArchiveExpired says that the object was removed.
type ArchiveExpired struct {
	ExportID string `json:"export_id"`
}

// EventType names the type on the bus.
func (*ArchiveExpired) EventType() string { return "tenure.export.export.expired.v1" }

// ArchiveOverdue calls an operator: the month that GDPR Article 12(3) gives for an answer is nearly over, and there is no
// archive. It comes once for an export, some days before DueBy.
type ArchiveOverdue struct {
	ExportID string    `json:"export_id"`
	DueBy    time.Time `json:"due_by"`
}

// EventType names the type on the bus.
func (*ArchiveOverdue) EventType() string { return "tenure.export.export.overdue.v1" }

// SubjectExportRequested records that an archive of one person's data was asked for. Who that person is stands in no event.
type SubjectExportRequested struct {
	ExportID string    `json:"export_id"`
	DueBy    time.Time `json:"due_by"`
}

// EventType names the type on the bus.
func (*SubjectExportRequested) EventType() string { return "tenure.export.subject_export.requested.v1" }

// SubjectExportCompleted says that the archive was read back and verified.
type SubjectExportCompleted struct {
	ExportID  string    `json:"export_id"`
	SHA256    string    `json:"sha256"`
	Bytes     int64     `json:"bytes"`
	ExpiresAt time.Time `json:"expires_at"`
}

// EventType names the type on the bus.
func (*SubjectExportCompleted) EventType() string { return "tenure.export.subject_export.completed.v1" }

// SubjectExportFailed says that there is no archive. The reason is shown to those who may see the export: a store's words may
// name the person.
type SubjectExportFailed struct {
	ExportID string `json:"export_id"`
}

// EventType names the type on the bus.
func (*SubjectExportFailed) EventType() string { return "tenure.export.subject_export.failed.v1" }

func init() {
	register[ArchiveOverdue]()
	register[SubjectExportRequested]()
	register[SubjectExportCompleted]()
	register[SubjectExportFailed]()
	register[ArchiveStarted]()
	register[ArchiveProgressed]()
	register[ArchiveCompleted]()
	register[ArchiveFailed]()
	register[ArchiveCancelled]()
	register[ArchiveExpired]()
}
