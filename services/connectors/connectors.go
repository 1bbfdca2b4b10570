// Package connectors is the door to the stores that hold tenants' data: count, read, erase, verify. Export reads through
// it, deletion erases through it; each kind of store is one package below, held to the same rules by the suite in
// conformance.
package connectors

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"tenure/shared/events"
	"tenure/shared/fault"
)

// Counts tells how many rows there are by name: of a kind of row in a Snapshot, of a part of the store (a table,
// "objects", "versions") everywhere else.
type Counts map[string]int64

// Total is the sum of all counts.
func (c Counts) Total() int64 {
	var total int64
	for _, n := range c {
		total += n
	}
	return total
}

// Scope says whose rows a call is about: all of a tenant's, or those of one person in it.
type Scope struct {
	Tenant string
	// Subject is the person's key as the SaaS knows it; "" is the whole tenant. It is personal data: never log it.
	Subject string
}

// Tenant is the scope of everything that a tenant has.
func Tenant(id string) Scope { return Scope{Tenant: id} }

// maxSubject is the length of a person's key in bytes, at most.
const maxSubject = 1024

// Check refuses what cannot be a scope, for good. The error does not tell the subject.
func (s Scope) Check() error {
	if len(s.Subject) > maxSubject || !utf8.ValidString(s.Subject) || strings.ContainsRune(s.Subject, 0) {
		return fault.Permanent(fmt.Errorf("a data subject's key is at most %d bytes of UTF-8 without NUL", maxSubject))
	}
	return CheckTenant(s.Tenant)
}

// Connector reaches the rows of a scope in one store. It is safe for concurrent use.
//
// Every call checks its scope first and fails with the scope's error: an empty id or one with a wildcard must never reach
// a statement that reads or deletes. A store that is down answers with a fault.RetryAfter. A scope with a
// subject is about the parts whose rows name persons (see Traits.Subjects); the others count nothing and keep
// everything.
type Connector interface {
	// Name is the store's name in the data map.
	Name() string
	// Traits tells what the store can and cannot do. It asks nobody.
	Traits() Traits
	// Count tells how much of each part of the store the scope has now.
	Count(ctx context.Context, of Scope) (Counts, error)
	// Bytes estimates how much room the scope's rows take, from the store's own statistics or a sample where reading
	// all of them would be dear.
	Bytes(ctx context.Context, of Scope) (int64, error)
	// Snapshot fixes the point at which rows are read: those that changed at since or later, all of them when it is the
	// zero time. A store that cannot tell when a row changed gives it in any case. The caller closes the snapshot: an
	// open one keeps the store from cleaning up.
	Snapshot(ctx context.Context, of Scope, since time.Time) (Snapshot, error)
	// Erase removes all that the scope has, in small transactions so that others are not held up, and tells how
	// much this call removed. After an error or a crash, call it again: it goes on with what is left.
	Erase(ctx context.Context, of Scope) (Counts, error)
	// Verify reads the store anew and tells what is left of the scope in any form, old versions and unfinished
	// uploads included. An erasure is done when this is empty, never because Erase said so.
	Verify(ctx context.Context, of Scope) (Counts, error)
}

// Traits are what the users of a store must know of it.
type Traits struct {
	// Kind is the kind of store: "postgres", "s3", "weaviate", ...
	Kind string
	// Targets names what is erased, for the dry run and the certificate: "table app.documents", "prefix data/{tenant}/".
	Targets []string
	// Settles is how long after an erasure a read may still be of an older state: 0 for a store that reads its own
	// writes. It is erased when two reads, at least as far apart, find nothing.
	Settles time.Duration
	// Subjects: some of its parts name the person whose row it is. A store without cannot export or erase one person's.
	Subjects bool
	// Class is the data class that the retention policy knows the store by; "" is the default class.
	Class string
}

// Snapshot is the rows of a scope at one point in time: what Counts says is what Read writes, whatever others write
// meanwhile. It is safe for concurrent use.
type Snapshot interface {
	// Counts tells the rows of each kind that the store exports.
	Counts() Counts
	Watermark() Watermark
	// Ranges cuts the rows of a kind into at most n ranges of about the same size (or one for each of its parts, where these
	// are more), which together, in this order, are all of them. A store that cannot be cut gives one; a kind that is not
	// there has none. The same rows are cut the same way.
	Ranges(ctx context.Context, kind string, n int) ([]Range, error)
	// Read writes the rows of a range in an order that is the same at each read, and fails when the store cannot
	// give the state at the watermark any more. Ranges are read side by side.
	Read(ctx context.Context, r Range, to Sink) error
	// Position is where a reading of r is behind its n-th row, n > 0: a range that starts there has the rest. It may be
	// asked while rows are read. A store that cannot start in the middle answers errors.ErrUnsupported.
	Position(ctx context.Context, r Range, n int64) (string, error)
	// Same reports whether the range still is what an earlier snapshot, at the given watermark, had in it: those rows
	// and no others, none of them changed. What was read then need not be read again. false is always right.
	Same(ctx context.Context, r Range, rows int64, at Watermark) (bool, error)
	// Close may be called twice.
	Close()
}

// ReadKind reads all rows of a kind, one range behind the other.
func ReadKind(ctx context.Context, s Snapshot, kind string, to Sink) error {
	ranges, err := s.Ranges(ctx, kind, 1)
	if err != nil {
		return err
	}
	for _, r := range ranges {
		if err := s.Read(ctx, r, to); err != nil {
			return err
		}
	}
	return nil
}

// Range is a part of the rows of one kind, in the order in which they are read: those behind After, up to and with UpTo;
// an empty one leaves that end open. Positions are the store's own words, and mean the same in every snapshot of it.
type Range struct {
	Kind string `json:"kind"`
	// Part is the part of the store that holds the rows, where a kind comes from several.
	Part  string `json:"part,omitempty"`
	After string `json:"after,omitempty"`
	UpTo  string `json:"up_to,omitempty"`
}

// Watermark says which state of a store was read.
type Watermark struct {
	Store string `json:"store"`
	// TakenAt is by the store's clock: all that was committed before it is in the snapshot.
	TakenAt time.Time `json:"taken_at"`
	// Position is the store's own name for the point, where it has one.
	Position string `json:"position,omitempty"`
}

// Sink takes rows, each a JSON object on one line. A row may come in many writes, so that one larger than the memory
// can pass; EndRow ends it. An error from either ends the reading. It serves one reading at a time.
type Sink interface {
	io.Writer
	EndRow() error
}

// Loader is a store that rows of an archive can be loaded into: portability, shown rather than claimed.
type Loader interface {
	// Load writes rows of one kind, each as Read gave it, for a tenant, and tells how many were new; ids maps the keys of the
	// archive's rows to those in this store. Again does no harm: a row that is there stays as it is.
	Load(ctx context.Context, tenant, kind string, rows []json.RawMessage, ids IDs) (loaded int64, err error)
}

// IDs maps ids of an archive to new ones: the same to the same, always.
type IDs interface {
	// Map returns the new id of a row or of a reference to one, in the same form: a UUID stays a UUID.
	Map(old string) string
}

// RetryDelay is how long a caller should wait for a store that does not answer.
const RetryDelay = 5 * time.Second

// CheckTenant refuses what cannot be a tenant's id, for good.
func CheckTenant(id string) error {
	if !events.ValidTenantID(id) {
		return fault.Permanent(fmt.Errorf("%q cannot be a tenant's id", id))
	}
	return nil
}
