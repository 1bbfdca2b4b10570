package store

import (
	"context"
	"fmt"

	"tenure/services/billing/internal/usage"
)

// PruneUsage forgets up to limit ids of uses that could not come again without being refused, and returns how many. What
// was told of the limits of months before the last is forgotten, too.
func (s *Store) PruneUsage(ctx context.Context, limit int) (int, error) {
	tag, err := s.db.Exec(ctx, `WITH alerts AS (
			DELETE FROM usage_alerts WHERE period < to_char(now() - interval '1 month', 'YYYY-MM'))
		DELETE FROM usage_events WHERE ctid = ANY(ARRAY(
			SELECT ctid FROM usage_events WHERE taken_at < now() - $1::interval LIMIT $2 FOR UPDATE SKIP LOCKED))`, usage.KeepIDs, limit)
	if err != nil {
		return 0, fmt.Errorf("prune usage: %w", err)
	}
	return int(tag.RowsAffected()), nil
}
