// Package connectors is the door to the stores that hold tenants' data: count, read, erase, verify. Export reads through
// it, deletion erases through it; each kind of store is one package below, held to the same rules by the suite in
// conformance.
package connectors

import (
	"context"
	"fmt"
	"io"
	"time"

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

// Connector reaches one tenant's rows in one store. It is safe for concurrent use.
//
// Every call checks the tenant's id first and fails with CheckTenant's error: an empty id or one with a wildcard must
// never reach a statement that reads or deletes. A store that is down answers with a fault.RetryAfter.
type Connector interface {
	// Name is the store's name in the data map.
	Name() string
	// Count tells how much of each part of the store the tenant has now.
	Count(ctx context.Context, tenant string) (Counts, error)
	// Snapshot fixes the point at which the tenant's rows are read: those that changed at since or later, all of them
	// when it is the zero time. A store that cannot tell when a row changed gives it in any case. The caller closes the
	// snapshot: an open one keeps the store from cleaning up.
	Snapshot(ctx context.Context, tenant string, since time.Time) (Snapshot, error)
	// Erase removes all that the tenant has, in small transactions so that others are not held up, and tells how
	// much this call removed. After an error or a crash, call it again: it goes on with what is left.
	Erase(ctx context.Context, tenant string) (Counts, error)
	// Verify reads the store anew and tells what is left of the tenant in any form, old versions and unfinished
	// uploads included. An erasure is done when this is empty, never because Erase said so.
	Verify(ctx context.Context, tenant string) (Counts, error)
}

// Snapshot is one tenant's rows at one point in time: what Counts says is what Read writes, whatever others write
// meanwhile. It serves one goroutine at a time.
type Snapshot interface {
	// Counts tells the rows of each kind that the store exports.
	Counts() Counts
	Watermark() Watermark
	// Read writes the rows of one kind in an order that is the same at each read, and fails when the store cannot
	// give the state at the watermark any more.
	Read(ctx context.Context, kind string, to Sink) error
	// Close may be called twice.
	Close()
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
// can pass; EndRow ends it. An error from either ends the reading.
type Sink interface {
	io.Writer
	EndRow() error
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
