package check

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// catalog is what a database says of its tables, by their oids.
type catalog map[uint32]*relation

// relation is a table, or what looks like one.
type relation struct {
	schema, table string
	kind          string // pg_class.relkind
	owned         bool   // by the role that asks
	columns       map[string]*column
	indexes       [][]string // the columns of indexes that hold all rows
	unique        [][]string // those of the unique ones among them
	foreignKeys   []foreignKey
	listedBy      string // the one column whose values its partitions are lists of
	parent        *relation
}

type column struct{ notNull bool }

type foreignKey struct {
	to *relation
	// stops: a row that is referred to cannot be deleted.
	stops bool
}

func (r *relation) name() string { return r.schema + "." + r.table }

// stored reports whether it is a table with rows of its own.
func (r *relation) stored() bool { return r.kind == "r" || r.kind == "p" }

// holds reports whether it has rows: a view shows others', and those of a foreign table are another database's.
func (r *relation) holds() bool { return r.stored() || r.kind == "m" }

// hint tells what else to know of a relation that is no table.
func (r *relation) hint() string {
	if r.kind == "m" {
		return " and keeps copies of rows until it is refreshed"
	}
	return ""
}

// root is the table whose partition, or partition's partition, r is.
func (r *relation) root() *relation {
	for r.parent != nil {
		r = r.parent
	}
	return r
}

func (c catalog) sorted() []*relation {
	return slices.SortedFunc(maps.Values(c), func(a, b *relation) int { return strings.Compare(a.name(), b.name()) })
}

// find is the relation of a name in the data map, nil when there is none.
func (c catalog) find(ctx context.Context, conn *pgx.Conn, name string) (*relation, error) {
	var oid *uint32
	err := conn.QueryRow(ctx, `SELECT to_regclass($1)::oid`, pgx.Identifier(strings.Split(name, ".")).Sanitize()).Scan(&oid)
	if err != nil {
		return nil, fmt.Errorf("look for table %s: %w", name, err)
	}
	if oid == nil {
		return nil, nil
	}
	return c[*oid], nil
}

const relations = `
	SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, pg_has_role(c.relowner, 'USAGE'),
		array_agg(a.attname::text), array_agg(a.attnotnull),
		(SELECT l.attname::text FROM pg_partitioned_table p JOIN pg_attribute l ON l.attrelid = p.partrelid AND l.attnum = p.partattrs[0]
			WHERE p.partrelid = c.oid AND p.partstrat = 'l' AND p.partnatts = 1)
	FROM pg_class c
	JOIN pg_namespace n ON n.oid = c.relnamespace
	JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f') AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
	GROUP BY c.oid, n.nspname`

// An index on a part of the rows, or on expressions, is of no help.
const indexes = `
	SELECT i.indrelid, i.indisunique, (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(i.indkey[0 : i.indnkeyatts - 1]) WITH ORDINALITY AS k (attnum, n)
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum)
	FROM pg_index i WHERE i.indpred IS NULL AND i.indexprs IS NULL AND i.indisvalid`

const (
	parents = `SELECT inhrelid, inhparent FROM pg_inherits`
	// A partition's copy of its table's key is the same key.
	foreignKeys = `SELECT conrelid, confrelid, confdeltype IN ('a', 'r') FROM pg_constraint WHERE contype = 'f' AND conparentid = 0`
)

func readCatalog(ctx context.Context, conn *pgx.Conn) (catalog, error) {
	c := catalog{}
	for _, read := range []func(context.Context, *pgx.Conn) error{c.readRelations, c.readIndexes, c.readParents, c.readForeignKeys} {
		if err := read(ctx, conn); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c catalog) readRelations(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, relations)
	if err != nil {
		return err
	}
	for rows.Next() {
		var oid uint32
		var names []string
		var notNull []bool
		var listedBy *string
		r := &relation{columns: map[string]*column{}}
		if err := rows.Scan(&oid, &r.schema, &r.table, &r.kind, &r.owned, &names, &notNull, &listedBy); err != nil {
			return err
		}
		for i, name := range names {
			r.columns[name] = &column{notNull: notNull[i]}
		}
		if listedBy != nil {
			r.listedBy = *listedBy
		}
		c[oid] = r
	}
	return rows.Err()
}

func (c catalog) readIndexes(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, indexes)
	if err != nil {
		return err
	}
	var of uint32
	var unique bool
	var columns []string
	_, err = pgx.ForEachRow(rows, []any{&of, &unique, &columns}, func() error {
		r := c[of]
		if r == nil {
			return nil
		}
		r.indexes = append(r.indexes, columns)
		if unique {
			r.unique = append(r.unique, columns)
		}
		columns = nil
		return nil
	})
	return err
}

func (c catalog) readParents(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, parents)
	if err != nil {
		return err
	}
	var child, parent uint32
	_, err = pgx.ForEachRow(rows, []any{&child, &parent}, func() error {
		if r := c[child]; r != nil {
			r.parent = c[parent]
		}
		return nil
	})
	return err
}

func (c catalog) readForeignKeys(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, foreignKeys)
	if err != nil {
		return err
	}
	var from, to uint32
	var stops bool
	_, err = pgx.ForEachRow(rows, []any{&from, &to, &stops}, func() error {
		if r := c[from]; r != nil && c[to] != nil {
			r.foreignKeys = append(r.foreignKeys, foreignKey{to: c[to], stops: stops})
		}
		return nil
	})
	return err
}
