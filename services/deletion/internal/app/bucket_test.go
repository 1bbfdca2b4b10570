package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"tenure/shared/fault"
)

var errAway = errors.New("the object store is away")

// bucket is an object store in memory.
type bucket struct {
	mu      sync.Mutex
	objects map[string][]byte
	locked  map[string]time.Time
	locks   bool
	fails   int // how many uploads from now on fail when they are read to their end
	uploads int
}

func newBucket() *bucket {
	return &bucket{objects: map[string][]byte{}, locked: map[string]time.Time{}}
}

func (b *bucket) Locks(context.Context) (bool, error) { return b.locks, nil }

func (b *bucket) Upload(_ context.Context, key, _ string, body io.Reader, lockedUntil *time.Time) error {
	content, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.uploads++
	if b.fails > 0 {
		b.fails--
		return fault.RetryAfter(errAway, time.Millisecond)
	}
	b.objects[key] = content
	if lockedUntil != nil {
		b.locked[key] = *lockedUntil
	}
	return nil
}

func (b *bucket) Open(_ context.Context, key string) (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	content, ok := b.objects[key]
	if !ok {
		return nil, fmt.Errorf("no object %s", key)
	}
	return io.NopCloser(bytes.NewReader(content)), nil
}

func (b *bucket) Keys(_ context.Context, prefix, after string) iter.Seq2[string, error] {
	b.mu.Lock()
	keys := slices.Sorted(maps.Keys(b.objects))
	b.mu.Unlock()
	return func(yield func(string, error) bool) {
		for _, key := range keys {
			if strings.HasPrefix(key, prefix) && key > after && !yield(key, nil) {
				return
			}
		}
	}
}

func (b *bucket) get(key string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.objects[key]
}

func (b *bucket) put(key string, content []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.objects[key] = content
}
