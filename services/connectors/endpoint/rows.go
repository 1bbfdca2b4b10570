package endpoint

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"tenure/services/connectors"
	"tenure/services/connectors/spool"
)

const (
	pageSize = 1000
	// maxLine bounds the memory that a row takes.
	maxLine = 16 << 20
)

// Snapshot copies the rows that there are now.
func (s *Store) Snapshot(ctx context.Context, of connectors.Scope, since time.Time) (connectors.Snapshot, error) {
	_, begun, err := s.count(ctx, of)
	if err != nil {
		return nil, s.wrap("snapshot", err)
	}
	return spool.Copy(s.name, begun, func(w *spool.Writer) error {
		if ok, err := s.has(of); !ok {
			return err
		}
		for _, kind := range s.cfg.Kinds {
			if err := s.copyKind(ctx, of, kind, since, w); err != nil {
				return s.wrap("copy "+kind, err)
			}
		}
		_, ended, err := s.count(ctx, of)
		w.Position = "until " + ended.Add(time.Second).UTC().Format(time.RFC3339) // the clock tells whole seconds
		return s.wrap("snapshot", err)
	})
}

func (s *Store) copyKind(ctx context.Context, of connectors.Scope, kind string, since time.Time, to *spool.Writer) error {
	query := url.Values{"kind": {kind}, "limit": {strconv.Itoa(pageSize)}}
	if !since.IsZero() {
		query.Set("since", since.UTC().Format(time.RFC3339Nano))
	}
	for {
		next, err := s.page(ctx, of, query, func(row []byte) error { return to.Add(kind, row) })
		if err != nil || next == "" {
			return err
		}
		if next == query.Get("after") {
			return errors.New("a page's next is the page itself")
		}
		query.Set("after", next)
	}
}

// page visits the rows of a page and answers with the next one's cursor, "" when there is none.
func (s *Store) page(ctx context.Context, of connectors.Scope, query url.Values, visit func(row []byte) error) (next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	resp, err := s.call(ctx, http.MethodGet, of, "rows", query)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for n := 0; lines.Scan(); n++ {
		l, err := parse(lines.Bytes())
		if err != nil {
			return "", fmt.Errorf("line %d is not as the protocol says: %w", n+1, err)
		}
		if l.Row == nil {
			if lines.Scan() {
				return "", errors.New("there is a line behind the last")
			}
			return l.next, lines.Err()
		}
		if n == pageSize {
			return "", fmt.Errorf("the page has more than %d rows", pageSize)
		}
		if err := visit(l.Row); err != nil {
			return "", err
		}
	}
	if err := lines.Err(); err != nil {
		return "", err
	}
	return "", fmt.Errorf("the page has no last line: %w", io.ErrUnexpectedEOF)
}

// line is a row, or the last line of a page.
type line struct {
	Row  json.RawMessage `json:"row"`
	Next json.RawMessage `json:"next"`

	next string
}

func parse(text []byte) (l line, err error) {
	if err := json.Unmarshal(text, &l); err != nil {
		return l, err
	}
	switch {
	case (l.Row == nil) == (l.Next == nil):
		return l, errors.New("it has to be a row or a next")
	case l.Row == nil:
		return l, json.Unmarshal(l.Next, &l.next) // null leaves it empty
	case l.Row[0] != '{':
		return l, errors.New("its row is no object")
	}
	// White space between tokens may be a line break to whoever reads the archive.
	var row bytes.Buffer
	err = json.Compact(&row, bytes.ToValidUTF8(l.Row, []byte("\uFFFD")))
	l.Row = row.Bytes()
	return l, err
}
