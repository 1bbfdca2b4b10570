// Package manifest is what an archive says about itself, and the rules that make an archive whole. It is pure.
package manifest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The archive's own entries.
const (
	// Name is the last entry: what stands in it was written before it.
	Name         = "manifest.json"
	MetadataName = "metadata.json"
)

// Manifest lists what the archive holds.
type Manifest struct {
	ExportID string `json:"export_id"`
	TenantID string `json:"tenant_id"`
	// SnapshotAt is the earliest of the stores' watermarks: all that was committed before it is here.
	SnapshotAt time.Time `json:"snapshot_at"`
	// Since is the time before which changes were left out, where it was asked for and a store can tell.
	Since time.Time `json:"since,omitzero"`
	// Stores tell the state that each store was read at.
	Stores []Store `json:"stores"`
	// SubjectSHA256 tells that the archive is of one person's data, and not of whose: HMAC-SHA-256 of the person's key under
	// ExportID, in hex.
	SubjectSHA256 string `json:"subject_sha256,omitempty"`
	// Without are stores that an archive of one person's data has nothing of: they cannot tell whose a row is.
	Without []string `json:"without,omitempty"`
	// ExpectedCounts were counted by the stores at their watermarks, ActualCounts as the rows were written, by kind.
	ExpectedCounts map[string]int64 `json:"expected_counts"`
	ActualCounts   map[string]int64 `json:"actual_counts"`
	Files          []File           `json:"files"`
}

// Store is the watermark of one store.
type Store struct {
	Name     string    `json:"name"`
	TakenAt  time.Time `json:"taken_at,omitzero"`
	Position string    `json:"position,omitempty"`
}

// File is one entry of the archive, the manifest itself left out.
type File struct {
	Name string `json:"name"`
	// Store is the one that the rows are from; "" in a file that has the rows of several, or none.
	Store string `json:"store,omitempty"`
	// Rows are lines, each of which ends with a line feed, or those of a Parquet file.
	Rows int64 `json:"rows"`
	// Bytes and SHA256 (hex) are those of the content, not of its compressed or encrypted form.
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	// StoredBytes and StoredSHA256 (hex) are those of an encrypted entry, as whoever has no key can check it.
	StoredBytes  int64  `json:"stored_bytes,omitempty"`
	StoredSHA256 string `json:"stored_sha256,omitempty"`
}

// ErrIncomplete says that the archive does not hold what the stores counted.
var ErrIncomplete = errors.New("the archive is not complete")

// Check tells every way in which m contradicts itself; nil means that it holds together. Whether the files are as
// it says is for the reader of the archive to find out.
func (m Manifest) Check() error {
	var wrong []error
	rows := map[string]int64{}
	seen := map[string]bool{}
	for _, f := range m.Files {
		if !SafeName(f.Name) {
			wrong = append(wrong, fmt.Errorf("%q is not a safe name", f.Name))
		}
		if folded := strings.ToLower(f.Name); seen[folded] {
			wrong = append(wrong, fmt.Errorf("%q is there twice", f.Name))
		} else {
			seen[folded] = true
		}
		if kind := KindOf(f.Name); kind != "" {
			rows[kind] += f.Rows
		}
	}
	for _, kind := range kinds(m.ExpectedCounts, m.ActualCounts, rows) {
		want, got, filed := m.ExpectedCounts[kind], m.ActualCounts[kind], rows[kind]
		if want != got {
			wrong = append(wrong, fmt.Errorf("%w: %d %s were counted, %d written", ErrIncomplete, want, kind, got))
		}
		if got != filed {
			wrong = append(wrong, fmt.Errorf("%w: %d %s were written, the files have %d", ErrIncomplete, got, kind, filed))
		}
	}
	return errors.Join(wrong...)
}

// kinds are the keys of all maps, sorted.
func kinds(all ...map[string]int64) []string {
	union := map[string]bool{}
	for _, m := range all {
		for k := range m {
			union[k] = true
		}
	}
	return slices.Sorted(maps.Keys(union))
}

// Total is the sum of counts by kind.
func Total(counts map[string]int64) int64 {
	var total int64
	for _, n := range counts {
		total += n
	}
	return total
}

// Earliest is the first of the stores' watermarks, or the zero time when none was read: a store of which nothing goes
// into archives has no watermark.
func Earliest(stores []Store) time.Time {
	var first time.Time
	for _, s := range stores {
		if !s.TakenAt.IsZero() && (first.IsZero() || s.TakenAt.Before(first)) {
			first = s.TakenAt
		}
	}
	return first
}
