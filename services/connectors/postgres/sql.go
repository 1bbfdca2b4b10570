package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/connectors"
	"tenure/shared/fault"
	"tenure/shared/pg"
)

// filter picks rows of a table.
type filter struct {
	of connectors.Scope
	// after and upTo bound the key; nil leaves that end open.
	after, upTo position
	// byRoot: they bound the key of the table that the joins lead to, rather than the table's own.
	byRoot bool
	// since picks rows that changed at that time or later, where the table can tell.
	since time.Time
	// unchanged picks rows that were there before, those that they are joined to included.
	unchanged *horizon
}

// where is the filter as a condition on the table called t. Values stand in it as literals: COPY takes no parameters.
func (t *table) where(f filter) string { return t.conditions("t", f) }

func (t *table) conditions(alias string, f filter) string {
	of := func(column string) string { return alias + "." + quote(column) }
	var all []string
	if t.parent == nil {
		all = append(all, of(t.Tenant)+` = `+literal(f.of.Tenant))
	} else {
		all = append(all, t.belongs(alias, f))
	}
	if f.of.Subject != "" && t.Subject != "" {
		all = append(all, of(t.Subject)+` = `+literal(f.of.Subject))
	}
	if t.parent == nil || !f.byRoot {
		key := strings.Join(columns(alias, t.Key), ", ")
		if f.after != nil {
			all = append(all, fmt.Sprintf(`(%s) > (%s)`, key, f.after.literals()))
		}
		if f.upTo != nil {
			all = append(all, fmt.Sprintf(`(%s) <= (%s)`, key, f.upTo.literals()))
		}
	}
	if !f.since.IsZero() && t.Changed != "" {
		all = append(all, fmt.Sprintf(`%s >= '%s'`, of(t.Changed), f.since.UTC().Format(time.RFC3339Nano)))
	}
	if f.unchanged != nil {
		all = append(all, f.unchanged.holds(alias+".xmin"))
	}
	return strings.Join(all, " AND ")
}

// belongs is the part of a child's condition that its parent decides. It is no join: a row that has several parents is
// one row all the same.
func (t *table) belongs(alias string, f filter) string {
	f.since = time.Time{} // it is about the child
	if !f.byRoot {
		f.after, f.upTo = nil, nil
	}
	if t.Subject != "" {
		f.of.Subject = ""
	}
	above := alias + "p"
	return fmt.Sprintf(`(%s) IN (SELECT %s FROM %s AS %s WHERE %s)`, strings.Join(columns(alias, t.on), ", "),
		strings.Join(columns(above, t.to), ", "), t.parent.from, above, t.parent.conditions(above, f))
}

// rows is a query for the rows of an archive, each one text, in the order of the key.
func (t *table) rows(f filter) string {
	order := strings.Join(columns("t", t.Key), ", ")
	if t.Document != "" {
		return fmt.Sprintf(`SELECT t.%s::text FROM %s AS t WHERE %s ORDER BY %s`, quote(t.Document), t.from, t.where(f), order)
	}
	return fmt.Sprintf(`SELECT row_to_json(r)::text FROM (SELECT %s FROM %s AS t WHERE %s ORDER BY %s) AS r`,
		strings.Join(columns("t", t.Columns), ", "), t.from, t.where(f), order)
}

func (t *table) count(ctx context.Context, q pg.Querier, f filter) (n int64, err error) {
	if err = queryRow(ctx, q, `SELECT count(*) FROM `+t.from+` AS t WHERE `+t.where(f), &n); err != nil {
		err = fmt.Errorf("table %s: %w", t.Name, err)
	}
	return n, err
}

// keyAt returns the key of the n-th of the filter's rows, or nil when there are fewer.
func (t *table) keyAt(ctx context.Context, q pg.Querier, f filter, n int64) (position, error) {
	keys := columns("t", t.Key)
	texts := make([]string, len(keys))
	for i, k := range keys {
		texts[i] = k + `::text`
	}
	sql := fmt.Sprintf(`SELECT ARRAY[%s] FROM %s AS t WHERE %s ORDER BY %s OFFSET %d LIMIT 1`,
		strings.Join(texts, ", "), t.from, t.where(f), strings.Join(keys, ", "), n-1)
	var parts []*string
	err := queryRow(ctx, q, sql, &parts)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	at := make(position, len(parts))
	for i, v := range parts {
		if v == nil {
			return nil, fault.Permanent(fmt.Errorf("table %s: the key's %s is null in a row: what is no key cannot be one in the data map", t.Name, t.Key[i]))
		}
		at[i] = *v
	}
	return at, err
}

// queryRow keeps a statement with literals out of the cache of prepared ones: it is hardly ever asked again.
func queryRow(ctx context.Context, q pg.Querier, sql string, into ...any) error {
	return q.QueryRow(ctx, sql, pgx.QueryExecModeExec).Scan(into...)
}

// position is a key as text: as a literal, a value of any type is read as that type again.
type position []string

func (p position) literals() string {
	quoted := make([]string, len(p))
	for i, v := range p {
		quoted[i] = literal(v)
	}
	return strings.Join(quoted, ", ")
}

// String is the position as a Range has it: a JSON array, "" for an open end.
func (p position) String() string {
	if p == nil {
		return ""
	}
	text, _ := json.Marshal([]string(p)) // strings always can
	return string(text)
}

func parsePosition(text string) (p position, err error) {
	if text == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return nil, fmt.Errorf("%q is no position: %w", text, err)
	}
	return p, nil
}

// literal quotes a value as libpq's PQescapeLiteral does: right whatever standard_conforming_strings says.
func literal(v string) string {
	quoted := `'` + strings.ReplaceAll(v, `'`, `''`) + `'`
	if !strings.Contains(v, `\`) {
		return quoted
	}
	return ` E` + strings.ReplaceAll(quoted, `\`, `\\`)
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// columns quotes the names of a table's columns.
func columns(alias string, names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = alias + "." + quote(n)
	}
	return out
}
