package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Exports in the lifecycle's log; how the archive itself fares is in export.go.

// ExportRequested asks the export service for an archive.
type ExportRequested struct {
	Change
	ExportID string `json:"export_id"`
	Plan     string `json:"plan"`
	// Since is an RFC 3339 time, or the id of an earlier export: what did not change after its snapshot is left out.
	Since   string   `json:"since,omitempty"`
	Include []string `json:"include,omitempty"`
	// ChangedSince is Since as a time, for participants: of an earlier export, when that was asked for. What changed between
	// then and its snapshot comes twice, which does no harm; nothing is missing.
	ChangedSince *time.Time `json:"changed_since,omitempty"`
	// EncryptTo is the age recipient that alone may read the archive.
	EncryptTo string   `json:"encrypt_to,omitempty"`
	Parquet   []string `json:"parquet,omitempty"`
	// Participants have files of their own to add. Each is asked by a step of action export; the archive waits for the
	// step.done of all of them.
	Participants []string `json:"participants,omitempty"`
	// CountedSince begins the day whose exports count for the limit.
	CountedSince *time.Time `json:"counted_since,omitempty"`
}

// EventType names the type on the bus.
func (*ExportRequested) EventType() string { return "tenure.lifecycle.export.requested.v1" }

// ExportKinds are what an archive may hold.
func ExportKinds() []string { return []string{"documents", "vectors", "usage", "billing", "audit"} }

// ExportFiles is the result of a step of action export: what the participant adds to the archive. No files is an answer, too.
type ExportFiles struct {
	Files []ExportFile `json:"files"`
}

// ExportFile is NDJSON that the export service fetches by GET. The URL needs no further credentials and holds until the
// export is over.
type ExportFile struct {
	Kind string `json:"kind"`
	URL  string `json:"url"`
	// Rows is how many lines the file has; an archive with another number is not completed.
	Rows int64 `json:"rows"`
}

// DecodeExportFiles reads such a result. The error tells the participant what to change.
func DecodeExportFiles(result json.RawMessage) (ExportFiles, error) {
	var answer ExportFiles
	if len(result) == 0 {
		return answer, errors.New("an export step needs a result that names its files; one of more than 16 KiB is not kept")
	}
	if err := json.Unmarshal(result, &answer); err != nil || answer.Files == nil {
		return answer, errors.New(`the result of an export must be {"files": [{"kind": ..., "url": ..., "rows": ...}]}`)
	}
	for i, f := range answer.Files {
		switch {
		case !slices.Contains(ExportKinds(), f.Kind):
			return answer, fmt.Errorf("files[%d].kind must be one of %q", i, ExportKinds())
		case !strings.HasPrefix(f.URL, "https://") && !strings.HasPrefix(f.URL, "http://"):
			return answer, fmt.Errorf("files[%d].url must begin with https:// or http://", i)
		case f.Rows < 0:
			return answer, fmt.Errorf("files[%d].rows is less than 0", i)
		}
	}
	return answer, nil
}

// ExportCompleted says that the archive was read back and verified.
type ExportCompleted struct {
	Change
	ExportID string `json:"export_id"`
	SHA256   string `json:"sha256"`
	Bytes    int64  `json:"bytes"`
}

// EventType names the type on the bus.
func (*ExportCompleted) EventType() string { return "tenure.lifecycle.export.completed.v1" }

// ExportFailed frees the tenant's export slot.
type ExportFailed struct {
	Change
	ExportID string `json:"export_id"`
	Error    string `json:"error,omitempty"`
}

// EventType names the type on the bus.
func (*ExportFailed) EventType() string { return "tenure.lifecycle.export.failed.v1" }

// ExportCancelled asks the export service to stop and frees the slot.
type ExportCancelled struct {
	Change
	ExportID string `json:"export_id"`
}

// EventType names the type on the bus.
func (*ExportCancelled) EventType() string { return "tenure.lifecycle.export.cancelled.v1" }

func init() {
	register[ExportRequested]()
	register[ExportCompleted]()
	register[ExportFailed]()
	register[ExportCancelled]()
}
