package importer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// unit is the files of one kind that go into one store.
type unit struct {
	to    *target
	kind  string
	files []file
}

// unitsOf keeps the archive's order of kinds, documents first, and turns that of the files around: tables stand in a data
// map, and so in an archive, before those that their rows refer to.
func unitsOf(files []routed) (units []unit) {
	for _, f := range files {
		at := slices.IndexFunc(units, func(u unit) bool { return u.to == f.to && u.kind == f.kind })
		if at < 0 {
			at = len(units)
			units = append(units, unit{to: f.to, kind: f.kind})
		}
		units[at].files = append(units[at].files, f.file)
	}
	for _, u := range units {
		slices.Reverse(u.files)
	}
	return units
}

// limit is how much goes into a store at once. A single row may be larger.
type limit struct{ rows, bytes int }

var (
	smallest = limit{500, 4 << 20}
	largest  = limit{1 << 20, 64 << 20}
)

func (l limit) next() limit { return limit{min(l.rows*8, largest.rows), min(l.bytes*8, largest.bytes)} }

// load is one import under way.
type load struct {
	tenant   string
	ids      IDs
	total    int64
	progress func(rows, total int64)
	// read are the rows that the stores have taken, loaded those of them that were not there before.
	read, loaded int64
}

// units loads all units, and those again whose rows refer to others that are not there yet: an archive does not say which
// table refers to which. Each round takes more rows at once, since those that are loaded together may refer to each other
// as they like.
func (l *load) units(ctx context.Context, units []unit) error {
	for size := smallest; len(units) > 0; size = size.next() {
		before := l.loaded
		var again []unit
		var early error
		for _, u := range units {
			read := l.read
			err := l.unit(ctx, u, size)
			if refersToNothing(err) {
				l.read, early, again = read, err, append(again, u)
			} else if err != nil {
				return err
			}
		}
		if len(again) > 0 && l.loaded == before && size == largest {
			return fmt.Errorf("rows refer to others that are not in the archive, or are too many to load at once: %w", early)
		}
		units = again
	}
	return nil
}

// unit loads rows in batches with the same fields: files have rows of several tables. A batch that comes too early holds
// up no others; its error comes in the end.
func (l *load) unit(ctx context.Context, u unit, size limit) (early error) {
	b := batch{size: size}
	put := func() error {
		err := l.put(ctx, u, &b)
		if refersToNothing(err) {
			early, err = err, nil
		}
		return err
	}
	for _, f := range u.files {
		err := f.entry.Rows(f.listed, func(row json.RawMessage) error {
			fields, err := fieldsOf(row)
			if err != nil {
				return err
			}
			if b.full() || b.fields != fields {
				if err := put(); err != nil {
					return err
				}
			}
			b.add(row, fields)
			return nil
		})
		if err != nil {
			return fmt.Errorf("%s: %w", f.entry.Name, err)
		}
	}
	if err := put(); err != nil {
		return err
	}
	return early
}

func (l *load) put(ctx context.Context, u unit, b *batch) error {
	rows := b.rows
	b.rows, b.bytes = nil, 0
	if len(rows) == 0 {
		return nil
	}
	n, err := u.to.loader.Load(ctx, l.tenant, u.kind, rows, l.ids)
	l.loaded += n
	if err != nil {
		return err
	}
	l.read += int64(len(rows))
	if l.progress != nil {
		l.progress(l.read, l.total)
	}
	return nil
}

// batch is rows that go into a store at once.
type batch struct {
	size   limit
	fields string
	rows   []json.RawMessage
	bytes  int
}

func (b *batch) full() bool { return len(b.rows) >= b.size.rows || b.bytes >= b.size.bytes }

func (b *batch) add(row json.RawMessage, fields string) {
	b.fields, b.rows, b.bytes = fields, append(b.rows, slices.Clone(row)), b.bytes+len(row)
}

// fieldsOf names the fields of a row.
func fieldsOf(row json.RawMessage) (string, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(row, &fields); err != nil {
		return "", fmt.Errorf("a row is no JSON object: %w", err)
	}
	names, err := json.Marshal(slices.Sorted(maps.Keys(fields)))
	return string(names), err
}

// refersToNothing reports whether a foreign key found no row (SQLSTATE 23503).
func refersToNothing(err error) bool {
	var state interface{ SQLState() string }
	return errors.As(err, &state) && state.SQLState() == "23503"
}
