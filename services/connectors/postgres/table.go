package postgres

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"tenure/services/connectors"
)

// Table is one table of the data map.
type Table struct {
	// Name is "table" or "schema.table".
	Name string
	// Tenant is the column that holds the tenant's id; "" where Join leads to it.
	Tenant string
	// Join leads from a table without such a column to the one that its rows belong to.
	Join *Join
	// Subject is the column that holds the key of the person whose row it is; "" where there is none. Rows of a joined
	// table without belong to their parent's person.
	Subject string
	// Key is unique within a tenant. Rows are read and erased in its order: an index on (tenant, key) makes both fast.
	Key []string
	// Kind is what an archive calls the rows; "" keeps the table out of exports, never out of erasure.
	Kind string
	// Columns are what an archive's rows have, in this order.
	Columns []string
	// References are columns with ids of rows, of this table or others. Load maps them; a key of one column is an id in
	// any case.
	References []string
	// Changed is the column with the time at which a row last changed; "" where there is none.
	Changed string
	// DropPartition: the table is partitioned by list of the tenant column. A partition that is a tenant's alone is
	// dropped, instead of its rows being deleted. The connection's role must own the table.
	DropPartition bool
	// Document, in place of Columns, is a column of type json or jsonb that holds the whole row.
	Document string
}

// Join says where the rows of a child table belong.
type Join struct {
	// Table is the parent's Name. It is listed behind the child, so that children are erased first: afterwards nothing
	// would tell whose they were.
	Table string
	// On maps columns of the child to those of the parent that they equal.
	On map[string]string
}

// table is a Table with its names quoted and its parent found.
type table struct {
	Table
	from   string
	parent *table
	// on and to are the joined columns, the child's and the parent's, pairwise.
	on, to []string
}

// newTables finds every parent behind its children.
func newTables(list []Table) ([]*table, error) {
	tables := make([]*table, len(list))
	for i, t := range slices.Backward(list) {
		tables[i] = &table{Table: t, from: pgx.Identifier(strings.Split(t.Name, ".")).Sanitize()}
		if t.Join == nil {
			continue
		}
		later := tables[i+1:]
		at := slices.IndexFunc(later, func(p *table) bool { return p.Name == t.Join.Table })
		if at < 0 {
			return nil, fmt.Errorf("table %s is joined to %s, which must be listed behind it: children are erased before their parents", t.Name, t.Join.Table)
		}
		tables[i].parent = later[at]
		for _, child := range slices.Sorted(maps.Keys(t.Join.On)) {
			tables[i].on = append(tables[i].on, child)
			tables[i].to = append(tables[i].to, t.Join.On[child])
		}
	}
	return tables, nil
}

// root is the table at the end of the joins, which has the tenant column.
func (t *table) root() *table {
	for t.parent != nil {
		t = t.parent
	}
	return t
}

// byPerson is the table whose subject column says whose rows t's are: t, else the nearest parent with one; nil when
// there is none.
func (t *table) byPerson() *table {
	for t != nil && t.Subject == "" {
		t = t.parent
	}
	return t
}

// has reports whether the table takes part in what is done to a scope.
func (t *table) has(of connectors.Scope) bool { return of.Subject == "" || t.byPerson() != nil }
