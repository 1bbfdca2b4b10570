package clickhouse

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"tenure/services/connectors"
	"tenure/services/connectors/spool"
)

// Snapshot copies the rows that there are now, each table by one query.
func (s *Store) Snapshot(ctx context.Context, of connectors.Scope, since time.Time) (connectors.Snapshot, error) {
	if err := of.Check(); err != nil {
		return nil, err
	}
	begun, err := single(ctx, s, `SELECT toInt64(toUnixTimestamp(now())) AS n`)
	if err != nil {
		return nil, s.wrap("snapshot", of, err)
	}
	return spool.Copy(s.name, time.Unix(begun, 0), func(w *spool.Writer) error {
		for _, t := range s.cfg.Tables {
			if t.Kind == "" || of.Subject != "" && t.Subject == "" {
				continue
			}
			r, err := s.find(ctx, t, of)
			if err == nil {
				err = r.copyTo(ctx, w, since)
			}
			if err != nil {
				return s.wrap("copy "+t.Name, of, err)
			}
		}
		return nil
	})
}

func (r rows) copyTo(ctx context.Context, w *spool.Writer, since time.Time) error {
	where := r.where
	if r.table.Changed != "" && !since.IsZero() {
		where += fmt.Sprintf(" AND %s >= toDateTime(%d)", quoteName(r.table.Changed), max(since.Unix(), 0))
	}
	statement := fmt.Sprintf("SELECT %s FROM %s%s WHERE %s ORDER BY %s", names(r.table.Columns), r.from(), r.final(), where, names(r.table.Key))
	return r.store.stream(ctx, statement, r.table.Columns[0], func(row []byte) error {
		// A String is any bytes to ClickHouse; an archive is UTF-8.
		return w.Add(r.table.Kind, bytes.ToValidUTF8(row, []byte("\uFFFD")))
	})
}

func names(columns []string) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = quoteName(c)
	}
	return strings.Join(quoted, ", ")
}
