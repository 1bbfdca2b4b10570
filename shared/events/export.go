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

func init() {
	register[ArchiveStarted]()
	register[ArchiveProgressed]()
	register[ArchiveCompleted]()
	register[ArchiveFailed]()
	register[ArchiveCancelled]()
	register[ArchiveExpired]()
}
