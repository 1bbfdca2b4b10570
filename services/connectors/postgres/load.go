package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"tenure/services/connectors"
	"tenure/shared/fault"
)

// Load inserts rows in one transaction: the tenant's id is set, ids are mapped (see Table.References), generated columns
// are left to the database, and rows that are there already stay as they are.
//
// A sequence behind a key does not move: ids that are numbers must be mapped to ones that it will not reach.
func (s *Store) Load(ctx context.Context, tenant, kind string, rows []json.RawMessage, ids connectors.IDs) (loaded int64, err error) {
	if err := connectors.CheckTenant(tenant); err != nil || len(rows) == 0 {
		return 0, err
	}
	names, err := columnsOf(rows[0])
	if err != nil {
		return 0, fault.Permanent(fmt.Errorf("store %s: a row of %s: %w", s.name, kind, err))
	}
	t := s.tableFor(kind, names)
	if t == nil {
		return 0, fault.Permanent(fmt.Errorf("store %s: no table has rows of %s with the columns %s", s.name, kind, strings.Join(slices.Sorted(maps.Keys(names)), ", ")))
	}
	mapped, err := t.mapIDs(rows, ids)
	if err != nil {
		return 0, fault.Permanent(fmt.Errorf("store %s: table %s: %w", s.name, t.Name, err))
	}
	err = s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		targets, err := t.targets(ctx, tx, names)
		if err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, t.insertion(tenant, targets), string(mapped))
		loaded = tag.RowsAffected()
		return err
	})
	return loaded, s.wrap("load into "+t.Name, err)
}

func columnsOf(row json.RawMessage) (names map[string]json.RawMessage, err error) {
	return names, json.Unmarshal(row, &names)
}

// tableFor finds the table of a kind. Where there are several, the columns tell them apart.
func (s *Store) tableFor(kind string, names map[string]json.RawMessage) *table {
	var found []*table
	for _, t := range s.tables {
		if t.Kind == kind && t.Document == "" {
			found = append(found, t)
		}
	}
	if len(found) == 1 {
		return found[0]
	}
	for _, t := range found {
		if len(t.Columns) == len(names) && !slices.ContainsFunc(t.Columns, func(c string) bool { return names[c] == nil }) {
			return t
		}
	}
	return nil
}

// idColumns are the columns whose values Load maps.
func (t *table) idColumns() []string {
	ids := slices.Clone(t.References)
	if len(t.Key) == 1 && t.Key[0] != t.Tenant {
		ids = append(ids, t.Key[0])
	}
	if t.parent != nil {
		above := t.parent.idColumns()
		for i, to := range t.to {
			if slices.Contains(above, to) {
				ids = append(ids, t.on[i])
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids) // a column that is mapped twice would be another
}

// mapIDs makes one JSON array of the rows.
func (t *table) mapIDs(rows []json.RawMessage, ids connectors.IDs) ([]byte, error) {
	columns := t.idColumns()
	out := bytes.NewBufferString("[")
	for i, row := range rows {
		if i > 0 {
			out.WriteByte(',')
		}
		values, err := columnsOf(row)
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", i+1, err)
		}
		for _, c := range columns {
			if err := mapID(values, c, ids); err != nil {
				return nil, fmt.Errorf("row %d: column %s: %w", i+1, c, err)
			}
		}
		line, err := json.Marshal(values)
		if err != nil {
			return nil, err
		}
		out.Write(line)
	}
	out.WriteByte(']')
	return out.Bytes(), nil
}

// mapID maps one value, a text or a number; PostgreSQL reads a number from a text, too.
func mapID(values map[string]json.RawMessage, column string, ids connectors.IDs) error {
	raw := values[column]
	if raw == nil || string(raw) == "null" {
		return nil
	}
	old := string(raw)
	if raw[0] == '"' {
		if err := json.Unmarshal(raw, &old); err != nil {
			return err
		}
	}
	mapped, err := json.Marshal(ids.Map(old))
	values[column] = mapped
	return err
}

// targets are the columns that rows with the given names fill. A column that must have a value and would get none is an
// error here, since PostgreSQL's would not say what to do.
func (t *table) targets(ctx context.Context, tx pgx.Tx, names map[string]json.RawMessage) ([]string, error) {
	rows, err := tx.Query(ctx, `SELECT attname::text, attgenerated <> '', attnotnull AND NOT atthasdef AND attidentity = ''
		FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`, t.from)
	if err != nil {
		return nil, err
	}
	var targets, missing []string
	var column string
	var generated, needed bool
	_, err = pgx.ForEachRow(rows, []any{&column, &generated, &needed}, func() error {
		given := names[column] != nil && slices.Contains(t.Columns, column)
		switch {
		case column == t.Tenant || generated:
		case given:
			targets = append(targets, column)
		case needed:
			missing = append(missing, column)
		}
		return nil
	})
	if err == nil && len(missing) > 0 {
		err = fault.Permanent(fmt.Errorf("the archive has nothing for %s, which must not be null: give it a default, or export it (columns in the data map)",
			strings.Join(missing, ", ")))
	}
	return targets, err
}

func (t *table) insertion(tenant string, targets []string) string {
	into, values := []string{}, columns("r", targets)
	for _, c := range targets {
		into = append(into, quote(c))
	}
	if t.parent == nil {
		into, values = append(into, quote(t.Tenant)), append(values, literal(tenant))
	}
	return fmt.Sprintf(`INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM json_populate_recordset(NULL::%s, $1::json) AS r ON CONFLICT DO NOTHING`,
		t.from, strings.Join(into, ", "), strings.Join(values, ", "), t.from)
}
