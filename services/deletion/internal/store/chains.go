package store

import (
	"context"

	"tenure/shared/eventlog"
	"tenure/shared/pg"
)

// ChainHead is the end of a tenant's hash chain in the lifecycle's log, as of the last event that was taken in; the
// zero Head when it is not known (see eventlog.Follow).
func ChainHead(ctx context.Context, q pg.Querier, tenant string) (eventlog.Head, error) {
	return eventlog.Followed(ctx, q, tenant)
}
