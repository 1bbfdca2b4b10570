package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// judge finds what is wrong with the map's i-th table.
func judge(tables []listed, i int) []Finding {
	t := tables[i]
	if t.relation == nil {
		return []Finding{wrong("there is no such table")}
	}
	if missing := t.missing(tables); len(missing) > 0 {
		return []Finding{wrong("there is no column " + strings.Join(missing, ", "))}
	}
	found := t.order(tables, i)
	found = append(found, t.partition()...)
	return append(found, t.index()...)
}

func wrong(detail string) Finding { return Finding{Status: Wrong, Detail: detail} }

// missing are the columns that only the map has.
func (t listed) missing(tables []listed) (missing []string) {
	names := slices.Concat([]string{t.Tenant, t.Subject, t.Changed}, t.Key, t.Columns, t.References, t.joined())
	for _, child := range tables {
		if child.Join != nil && child.store == t.store && child.Join.Table == t.Table.Table {
			names = slices.AppendSeq(names, maps.Values(child.Join.On))
		}
	}
	for _, name := range names {
		if name != "" && t.columns[name] == nil && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	return missing
}

// joined are the columns that lead to the parent.
func (t listed) joined() []string {
	if t.Join == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(t.Join.On))
}

// order holds the order of erasure against the foreign keys.
func (t listed) order(tables []listed, i int) (found []Finding) {
	for j, other := range tables {
		if other.relation == nil || j < i {
			continue
		}
		for _, key := range other.foreignKeys {
			switch {
			case key.to != t.relation || !key.stops:
			case i == j:
				found = append(found, wrong("its rows refer to each other, so that a part of them cannot be deleted: let the foreign key cascade or set null"))
			default:
				found = append(found, wrong(fmt.Sprintf("%s refers to it and must be erased before it: list it first", other.Table.Table)))
			}
		}
	}
	return found
}

func (t listed) partition() []Finding {
	switch {
	case !t.DropPartition:
		return nil
	case t.listedBy != t.Tenant:
		return []Finding{wrong("drop_partition: it is not partitioned by list of " + t.Tenant)}
	case !t.owned:
		return []Finding{wrong("drop_partition: only the table's owner may drop a partition, and the connection's role is not")}
	}
	return nil
}

// index looks at what makes rows be read and erased in order, and fast.
func (t listed) index() (found []Finding) {
	if !t.stored() {
		return []Finding{wrong("it is no table: its rows cannot be erased")}
	}
	for _, name := range t.Key {
		if !t.columns[name].notNull {
			found = append(found, wrong("its key has the column "+name+", which can be null"))
		}
	}
	within := t.Key
	starts := t.joined()
	if t.Tenant != "" {
		within, starts = append([]string{t.Tenant}, t.Key...), []string{t.Tenant}
	}
	isKey := func(index []string) bool {
		return !slices.ContainsFunc(index, func(c string) bool { return !slices.Contains(within, c) })
	}
	if !slices.ContainsFunc(t.unique, isKey) {
		found = append(found, wrong(fmt.Sprintf("no unique index says that the key (%s) is one", strings.Join(t.Key, ", "))))
	}
	if !slices.ContainsFunc(t.indexes, func(index []string) bool { return slices.Contains(starts, index[0]) }) {
		found = append(found, Finding{Status: Slow, Detail: "no index begins with " + strings.Join(starts, " or ")})
	}
	return found
}
