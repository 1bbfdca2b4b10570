package app_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"tenure/services/connectors"
)

// fakeStore holds rows in memory, and lies when it is told to.
type fakeStore struct {
	name   string
	traits connectors.Traits

	mu      sync.Mutex
	rows    int64
	persons map[string]int64 // rows by person; beside the others
	keeps   int              // how many erasures only say that they worked
	leaves  int64            // rows that every erasure leaves, and keeps silent about
	shows   *int64           // what a look tells in place of what is there
	fail    error            // what Erase answers
	unread  error            // what Verify answers
	during  func(ctx context.Context) error
	erased  int // calls of Erase
	looks   []time.Time
}

func (s *fakeStore) Name() string { return s.name }

func (s *fakeStore) Traits() connectors.Traits { return s.traits }

func (s *fakeStore) Bytes(context.Context, connectors.Scope) (int64, error) {
	rows, _ := s.state()
	return 100 * rows, nil
}

func (s *fakeStore) Verify(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks = append(s.looks, time.Now())
	found := s.rows
	switch {
	case of.Tenant != tenant:
		return nil, fmt.Errorf("asked for %s", of.Tenant)
	case s.unread != nil:
		return nil, s.unread
	case s.shows != nil:
		found = *s.shows
	case of.Subject != "":
		found = s.persons[of.Subject]
	}
	return connectors.Counts{"rows": found}, ctx.Err()
}

// Erase takes one row, then calls during, then takes the rest.
func (s *fakeStore) Erase(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	s.mu.Lock()
	s.erased++
	during := s.during
	switch {
	case s.fail != nil:
		defer s.mu.Unlock()
		return nil, s.fail
	case s.keeps > 0:
		defer s.mu.Unlock()
		s.keeps--
		return connectors.Counts{"rows": s.rows}, nil
	case of.Subject != "":
		defer s.mu.Unlock()
		delete(s.persons, of.Subject)
		return nil, nil
	}
	s.rows = max(s.leaves, s.rows-1)
	s.mu.Unlock()
	if during != nil {
		if err := during(ctx); err != nil {
			return nil, err
		}
	}
	s.set(func() { s.rows = s.leaves })
	return nil, nil
}

func (s *fakeStore) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *fakeStore) state() (rows int64, erased int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows, s.erased
}

// looked tells when the store was read since the last call.
func (s *fakeStore) looked() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.looks
	s.looks = nil
	return all
}
