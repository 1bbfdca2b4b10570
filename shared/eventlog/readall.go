package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"tenure/shared/pg"
)

// Cursor is how far a reader of the whole log is: one position for each partition. Following it never misses an event,
// because positions in a partition grow in the order of the commits.
type Cursor []int64

// ErrCursor says that a string is no cursor of this log.
var ErrCursor = errors.New("eventlog: no such cursor")

// ParseCursor reads what String wrote; the empty string is the beginning.
func (l *Log) ParseCursor(s string) (Cursor, error) {
	c := make(Cursor, l.cfg.Partitions)
	if s == "" {
		return c, nil
	}
	parts := strings.Split(s, ".")
	if len(parts) > len(c) {
		return nil, ErrCursor
	}
	for i, part := range parts {
		n, err := strconv.ParseInt(part, 10, 64)
		if err != nil || n < 0 {
			return nil, ErrCursor
		}
		c[i] = n
	}
	return c, nil
}

func (c Cursor) String() string {
	parts := make([]string, len(c))
	for i, n := range c {
		parts[i] = strconv.FormatInt(n, 10)
	}
	return strings.Join(parts, ".")
}

// Filter of a reader; empty fields do not filter.
type Filter struct {
	Stream string
	Type   string
}

// ReadAll returns up to limit events of all streams behind the cursor, by time, and the cursor behind them. more says
// that there are others.
func (l *Log) ReadAll(ctx context.Context, q pg.Querier, after Cursor, f Filter, limit int) (page []Recorded, next Cursor, more bool, err error) {
	for partition, position := range after {
		rows, err := q.Query(ctx, `SELECT `+columns+` FROM log WHERE partition = $1 AND sequence > $2
			AND ($3 = '' OR stream = $3) AND ($4 = '' OR type = $4) ORDER BY sequence LIMIT $5`,
			partition, position, f.Stream, f.Type, limit+1)
		if err != nil {
			return nil, nil, false, fmt.Errorf("read the log: %w", err)
		}
		part, err := pgx.CollectRows(rows, l.scan)
		if err != nil {
			return nil, nil, false, fmt.Errorf("read the log: %w", err)
		}
		page = append(page, part...)
	}
	slices.SortStableFunc(page, func(a, b Recorded) int { return a.Time.Compare(b.Time) })
	if len(page) > limit {
		page, more = page[:limit], true
	}
	next = slices.Clone(after)
	for _, r := range page {
		next[r.Partition] = max(next[r.Partition], r.Position)
	}
	return page, next, more, nil
}
