package weaviate

// WithPage makes a store list fewer ids at once, so that few objects take many pages.
func WithPage(s *Store, n int) *Store {
	s.page = n
	return s
}
