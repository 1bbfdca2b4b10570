package store_test

import (
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"testing"

	"tenure/services/devstack/stripesim/store"
)

type thing struct {
	ID    string
	Color string
}

func (t *thing) Key() string     { return t.ID }
func (t *thing) Kind() string    { return "thing" }
func (t *thing) Index() []string { return []string{"color=" + t.Color} }

func open(t *testing.T) *store.DB {
	t.Helper()
	db, err := store.Open(filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func update(t *testing.T, db *store.DB, fn func(*store.Tx) error) {
	t.Helper()
	if err := db.Update(fn); err != nil {
		t.Fatal(err)
	}
}

func ids(t *testing.T, walk iter.Seq2[*thing, error]) []string {
	t.Helper()
	var list []string
	for object, err := range walk {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, object.ID)
	}
	return list
}

func TestLists(t *testing.T) {
	db := open(t)
	update(t, db, func(tx *store.Tx) error {
		for i := range 6 {
			color := "red"
			if i%2 == 1 {
				color = "blue"
			}
			// The ids run against the order of creation.
			if err := store.Put(tx, &thing{ID: fmt.Sprint("t", 9-i), Color: color}); err != nil {
				return err
			}
		}
		return store.Put(tx, &thing{ID: "t9", Color: "blue"}) // moves, and keeps its place
	})
	update(t, db, func(tx *store.Tx) error {
		for _, c := range []struct {
			name string
			walk iter.Seq2[*thing, error]
			want []string
		}{
			{"all, newest", store.Newest[thing](tx, "", ""), []string{"t4", "t5", "t6", "t7", "t8", "t9"}},
			{"all, oldest", store.Oldest[thing](tx, "", ""), []string{"t9", "t8", "t7", "t6", "t5", "t4"}},
			{"below t6", store.Newest[thing](tx, "", "t6"), []string{"t7", "t8", "t9"}},
			{"above t6", store.Oldest[thing](tx, "", "t6"), []string{"t5", "t4"}},
			{"red", store.Newest[thing](tx, "color=red", ""), []string{"t5", "t7"}},
			{"blue", store.Newest[thing](tx, "color=blue", ""), []string{"t4", "t6", "t8", "t9"}},
			{"none", store.Newest[thing](tx, "color=green", ""), nil},
		} {
			if got := ids(t, c.walk); !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
		}
		gone, err := store.Get[thing](tx, "t5")
		if err != nil {
			return err
		}
		return tx.Delete(gone)
	})
	update(t, db, func(tx *store.Tx) error {
		if _, err := store.Get[thing](tx, "t5"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a deleted thing: %v", err)
		}
		if got := ids(t, store.Newest[thing](tx, "color=red", "")); !slices.Equal(got, []string{"t7"}) {
			t.Errorf("red after the deletion: %v", got)
		}
		return nil
	})
}

func TestAnErrorUndoesTheTransaction(t *testing.T) {
	db := open(t)
	undo := errors.New("undo")
	err := db.Update(func(tx *store.Tx) error {
		if err := store.Put(tx, &thing{ID: "t1"}); err != nil {
			return err
		}
		if !tx.Wrote() {
			t.Error("a Put is not a write")
		}
		return undo
	})
	if !errors.Is(err, undo) {
		t.Fatal(err)
	}
	update(t, db, func(tx *store.Tx) error {
		if got := ids(t, store.Newest[thing](tx, "", "")); got != nil {
			t.Errorf("things: %v", got)
		}
		return nil
	})
}

func TestAQueueIsInTheOrderOfTime(t *testing.T) {
	db := open(t)
	update(t, db, func(tx *store.Tx) error {
		for _, due := range []int64{30, 10, 20, 10} {
			if err := tx.Enqueue("q", due, due); err != nil {
				return err
			}
		}
		return nil
	})
	var due []int64
	update(t, db, func(tx *store.Tx) error {
		var keys []string
		for item := range tx.Queue("q") {
			due, keys = append(due, item.Due), append(keys, item.Key)
		}
		for _, want := range []bool{true, false} {
			if fresh, err := tx.Dequeue("q", keys[0]); err != nil || fresh != want {
				t.Errorf("dequeued: %v %v, want %v", fresh, err, want)
			}
		}
		return nil
	})
	if !slices.Equal(due, []int64{10, 10, 20, 30}) {
		t.Errorf("due: %v", due)
	}
}
