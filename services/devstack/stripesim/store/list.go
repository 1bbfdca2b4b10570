package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
)

// Newest walks a list from the newest object to the oldest, beginning below the
// object whose id is after ("" for the very newest). The walk ends with the
// first error.
func Newest[T any, P interface {
	*T
	Object
}](t *Tx, index, after string) iter.Seq2[P, error] {
	return walk[T, P](t, index, after, false)
}

// Oldest walks a list upwards, beginning above the object whose id is after ("" for
// the very oldest).
func Oldest[T any, P interface {
	*T
	Object
}](t *Tx, index, after string) iter.Seq2[P, error] {
	return walk[T, P](t, index, after, true)
}

func walk[T any, P interface {
	*T
	Object
}](t *Tx, index, after string, up bool) iter.Seq2[P, error] {
	return func(yield func(P, error) bool) {
		kind := P(nil).Kind()
		for id, err := range t.ids(kind, index, after, up) {
			if err != nil {
				yield(nil, err)
				return
			}
			object, err := Get[T, P](t, id)
			if err != nil {
				err = fmt.Errorf("list %s: %s: %w", kind, id, err)
			}
			if !yield(object, err) || err != nil {
				return
			}
		}
	}
}

// ids collects nothing ahead: a caller that stops early pays for what it took.
// The list must not be changed while it is walked.
func (t *Tx) ids(kind, index, after string, up bool) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		prefix := path(kind, index, "")
		start := binary.BigEndian.AppendUint64(bytes.Clone(prefix), 0)
		if !up {
			start = binary.BigEndian.AppendUint64(bytes.Clone(prefix), ^uint64(0))
		}
		if after != "" {
			seq, data := t.read(kind, after)
			if data == nil {
				yield("", fmt.Errorf("list %s from %s: %w", kind, after, ErrNotFound))
				return
			}
			start = place(kind, index, seq)
		}
		c := t.tx.Bucket(indexes).Cursor()
		k, id := c.Seek(start)
		switch {
		case up && bytes.Equal(k, start):
			k, id = c.Next()
		case !up && k == nil: // beyond the last key of the bucket
			k, id = c.Last()
		case !up:
			k, id = c.Prev()
		}
		for ; bytes.HasPrefix(k, prefix) && len(k) == len(prefix)+8; k, id = step(c, up) {
			if !yield(string(id), nil) {
				return
			}
		}
	}
}

func step(c interface {
	Next() ([]byte, []byte)
	Prev() ([]byte, []byte)
}, up bool,
) (key, value []byte) {
	if up {
		return c.Next()
	}
	return c.Prev()
}

// Append adds an entry to a log, which keeps the order of appending.
func (t *Tx) Append(log string, entry any) error {
	b, err := t.tx.CreateBucketIfNotExists([]byte("log " + log))
	if err != nil {
		return err
	}
	seq, err := b.NextSequence()
	if err != nil {
		return err
	}
	data, err := json.Marshal(entry)
	if err != nil {
		return fmt.Errorf("encode an entry of %s: %w", log, err)
	}
	return b.Put(binary.BigEndian.AppendUint64(nil, seq), data)
}

// Entries walks a log from its beginning. An entry is valid until the next one.
func (t *Tx) Entries(log string) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		b := t.tx.Bucket([]byte("log " + log))
		if b == nil {
			return
		}
		c := b.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if !yield(v) {
				return
			}
		}
	}
}
