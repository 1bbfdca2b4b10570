// Package store keeps the simulator's objects in one bbolt file: objects by id,
// in the order of their creation and of every index they name, and queues of
// what falls due.
package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// ErrNotFound is an object that was never stored, or was deleted.
var ErrNotFound = errors.New("not found")

// Object is anything kept under an id. Kind is also called on a nil pointer, so it
// must not look at the value.
type Object interface {
	Key() string
	Kind() string
	// Index names the lists that hold the object, as "field=value". The list of
	// all objects of a kind needs no name.
	Index() []string
}

var (
	objects = []byte("objects") // kind / id -> sequence of creation, JSON
	indexes = []byte("indexes") // kind / index / sequence -> id
	values  = []byte("values")  // single values by name
)

// DB is the open file.
type DB struct{ bolt *bbolt.DB }

// Open creates the file when it is missing. Another process that holds it is an
// error after five seconds.
func Open(path string) (*DB, error) {
	b, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: 5 * time.Second,
		// The pages reach the operating system before Update returns, so a
		// killed process loses nothing. Only a machine that loses its power
		// could, and a simulator is then started afresh; without the flush a
		// call takes microseconds instead of a disk's milliseconds.
		NoSync:       true,
		FreelistType: bbolt.FreelistMapType,
	})
	if err != nil {
		return nil, fmt.Errorf("open %s (does another simulator use it?): %w", path, err)
	}
	err = b.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{objects, indexes, values} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare %s: %w", path, err), b.Close())
	}
	return &DB{bolt: b}, nil
}

// Close waits for running transactions.
func (db *DB) Close() error { return db.bolt.Close() }

// Update runs fn in the one writing transaction; an error undoes all of it.
func (db *DB) Update(fn func(*Tx) error) error {
	return db.bolt.Update(func(tx *bbolt.Tx) error { return fn(&Tx{tx: tx}) })
}

// View runs fn on a snapshot.
func (db *DB) View(fn func(*Tx) error) error {
	return db.bolt.View(func(tx *bbolt.Tx) error { return fn(&Tx{tx: tx}) })
}

// Tx is one transaction; it is not safe for concurrent use.
type Tx struct {
	tx    *bbolt.Tx
	wrote bool
}

// Wrote reports whether an object was put or removed.
func (t *Tx) Wrote() bool { return t.wrote }

// Get reads an object of type P by its id.
func Get[T any, P interface {
	*T
	Object
}](t *Tx, id string) (P, error) {
	_, data := t.read(P(nil).Kind(), id)
	if data == nil {
		return nil, ErrNotFound
	}
	object := P(new(T))
	if err := json.Unmarshal(data, object); err != nil {
		return nil, fmt.Errorf("decode %s: %w", id, err)
	}
	return object, nil
}

// read answers the sequence of creation and the JSON, nil when there is none.
func (t *Tx) read(kind, id string) (seq uint64, data []byte) {
	record := t.tx.Bucket(objects).Get(path(kind, id))
	if record == nil {
		return 0, nil
	}
	return binary.BigEndian.Uint64(record), record[8:]
}

// Put stores an object and moves it between the lists it names. Its place in
// them is that of its first Put.
func Put[T any, P interface {
	*T
	Object
}](t *Tx, object P) error {
	t.wrote = true
	kind, id := object.Kind(), object.Key()
	seq, data := t.read(kind, id)
	var before []string
	if data == nil {
		var err error
		if seq, err = t.tx.Bucket(objects).NextSequence(); err != nil {
			return fmt.Errorf("number %s: %w", id, err)
		}
	} else {
		old := P(new(T))
		if err := json.Unmarshal(data, old); err != nil {
			return fmt.Errorf("decode %s: %w", id, err)
		}
		before = lists(old)
	}
	if err := t.reindex(kind, id, seq, before, lists(object)); err != nil {
		return err
	}
	encoded, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("encode %s: %w", id, err)
	}
	record := append(binary.BigEndian.AppendUint64(nil, seq), encoded...)
	return t.tx.Bucket(objects).Put(path(kind, id), record)
}

// Delete removes an object from every list.
func (t *Tx) Delete(object Object) error {
	t.wrote = true
	kind, id := object.Kind(), object.Key()
	seq, data := t.read(kind, id)
	if data == nil {
		return nil
	}
	if err := t.reindex(kind, id, seq, lists(object), nil); err != nil {
		return err
	}
	return t.tx.Bucket(objects).Delete(path(kind, id))
}

func lists(object Object) []string { return append(object.Index(), "") }

func (t *Tx) reindex(kind, id string, seq uint64, before, after []string) error {
	b := t.tx.Bucket(indexes)
	for _, name := range before {
		if !slices.Contains(after, name) {
			if err := b.Delete(place(kind, name, seq)); err != nil {
				return fmt.Errorf("leave list %s of %s: %w", name, kind, err)
			}
		}
	}
	for _, name := range after {
		if !slices.Contains(before, name) {
			if err := b.Put(place(kind, name, seq), []byte(id)); err != nil {
				return fmt.Errorf("enter list %s of %s: %w", name, kind, err)
			}
		}
	}
	return nil
}

func path(segments ...string) []byte {
	var key []byte
	for i, s := range segments {
		if i > 0 {
			key = append(key, 0)
		}
		key = append(key, s...)
	}
	return key
}

func place(kind, index string, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(path(kind, index, ""), seq)
}

// Value reads a single value into v; a missing one leaves v as it is.
func (t *Tx) Value(name string, v any) error {
	data := t.tx.Bucket(values).Get([]byte(name))
	if data == nil {
		return nil
	}
	return json.Unmarshal(data, v)
}

// SetValue stores a single value.
func (t *Tx) SetValue(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return t.tx.Bucket(values).Put([]byte(name), data)
}
