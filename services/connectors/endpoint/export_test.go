package endpoint

import "time"

// WithPatience makes a store wait so long for an erasure.
func WithPatience(s *Store, d time.Duration) *Store {
	s.patience = d
	return s
}
