package gate

import (
	"context"
	"fmt"
	"time"

	"tenure/shared/events"
)

// SnapshotQuery is the subject on which the lifecycle answers, page by page, what every tenant may do: a gate that starts
// reads as many records as there are tenants, and not all that ever happened to them. The question is a SnapshotRequest,
// the answer a Snapshot in the envelope of bus.Answer.
const SnapshotQuery = "tenure.queries.lifecycle.access"

// SnapshotRequest asks for the tenants whose id is above After, in the order of ids.
type SnapshotRequest struct {
	After string `json:"after,omitempty"`
	Limit int    `json:"limit"`
}

// Snapshot is one page. An empty one is the last.
type Snapshot struct {
	Tenants []Record `json:"tenants"`
}

// Record is all that the lifecycle says of one tenant's access, as of Version. It must hold everything that was committed
// before the question came: a gate that has read it does not look at earlier events.
type Record struct {
	Tenant  string   `json:"tenant"`
	Version int64    `json:"version"`
	State   string   `json:"state"`
	Blocks  []string `json:"blocks,omitempty"`
	Plan    string   `json:"plan"`
	// ReadOnlyUntil and Config are as in the events.
	ReadOnlyUntil time.Time           `json:"read_only_until,omitzero"`
	Config        events.TenantConfig `json:"config,omitzero"`
}

const (
	// snapshotPage keeps an answer well below NATS' default limit of a megabyte.
	snapshotPage = 2000
	// snapshotTimeout bounds the wait for one page. The events are still there when nobody answers.
	snapshotTimeout = 2 * time.Second
)

// load reads every tenant's record.
func (g *Gate) load(ctx context.Context, src source) error {
	after := ""
	for {
		ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
		page, err := src.snapshot(ctx, SnapshotRequest{After: after, Limit: snapshotPage})
		cancel()
		if err != nil {
			return fmt.Errorf("read the tenants behind %q: %w", after, err)
		}
		if len(page.Tenants) == 0 {
			return nil
		}
		for _, record := range page.Tenants {
			if err := g.replica.restore(record); err != nil {
				return err
			}
		}
		after = page.Tenants[len(page.Tenants)-1].Tenant
	}
}
