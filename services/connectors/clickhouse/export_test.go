package clickhouse

import "time"

// WithPatience makes a store wait so long for a mutation.
func WithPatience(s *Store, d time.Duration) *Store {
	s.patience = d
	return s
}
