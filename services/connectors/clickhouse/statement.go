package clickhouse

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"tenure/services/connectors"
	"tenure/services/connectors/remote"
	"tenure/shared/fault"
)

// quoteName writes an identifier, quoteText a string (ClickHouse's Syntax, "Identifiers" and "String"). Query parameters would
// not do: servers before 19.14 know none.
func quoteName(name string) string { return "`" + nameEscapes.Replace(name) + "`" }

// quoteText escapes what the server itself does when it notes a mutation, where the string is looked for again.
func quoteText(text string) string { return "'" + textEscapes.Replace(text) + "'" }

var (
	nameEscapes = strings.NewReplacer(`\`, `\\`, "`", "\\`")
	textEscapes = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\b", `\b`, "\f", `\f`, "\n", `\n`, "\r", `\r`, "\t", `\t`)
)

// settings are the URL's parameters of a statement.
type settings map[string]string

// do sends a statement and returns its answer's body, which the caller closes.
func (s *Store) do(ctx context.Context, statement string, with settings) (io.ReadCloser, error) {
	at := *s.url
	query := at.Query()
	query.Set("output_format_json_quote_64bit_integers", "0") // a number in the archive is a number
	for name, value := range with {
		query.Set(name, value)
	}
	at.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), strings.NewReader(statement))
	if err != nil {
		return nil, err
	}
	if s.user != "" {
		req.SetBasicAuth(s.user, s.password)
	}
	resp, err := remote.Do(s.http, req)
	if err != nil {
		return nil, err
	}
	if err := remote.Check(resp); err != nil {
		resp.Body.Close()
		return nil, tellApart(err)
	}
	return resp.Body, nil
}

// exec sends a statement without rows.
func (s *Store) exec(ctx context.Context, statement string, with settings) error {
	answer, err := s.do(ctx, statement, with)
	if err != nil {
		return err
	}
	defer answer.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(answer, 1<<20))
	return err
}

// maxRow bounds the memory that a row takes.
const maxRow = 64 << 20

// stream sends a SELECT and calls fn with each row, a JSON object on one line whose slice is valid until fn returns. first is its
// first column. A server that fails midway writes its error behind the rows of an answer that had begun as a success; that is
// no row.
func (s *Store) stream(ctx context.Context, statement, first string, fn func(row []byte) error) error {
	answer, err := s.do(ctx, statement+" FORMAT JSONEachRow", nil)
	if err != nil {
		return err
	}
	defer answer.Close()
	lines := bufio.NewScanner(answer)
	lines.Buffer(make([]byte, 64<<10), maxRow)
	begin := `{"` + first + `":`
	for lines.Scan() {
		line := lines.Bytes()
		if !strings.HasPrefix(string(line[:min(len(line), len(begin))]), begin) || !json.Valid(line) {
			return tellApart(&remote.StatusError{Status: http.StatusInternalServerError, Text: string(line[:min(len(line), maxErrorText)])})
		}
		if err := fn(line); err != nil {
			return err
		}
	}
	return lines.Err()
}

const maxErrorText = 1 << 10

// query reads the few rows of a SELECT.
func query[T any](ctx context.Context, s *Store, statement string) ([]T, error) {
	answer, err := s.do(ctx, statement+" FORMAT JSON", settings{"wait_end_of_query": "1"})
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	var result struct {
		Data []T `json:"data"`
	}
	err = json.NewDecoder(answer).Decode(&result)
	return result.Data, err
}

// single reads the number n of a SELECT of one row.
func single(ctx context.Context, s *Store, statement string) (int64, error) {
	found, err := query[struct {
		N *int64 `json:"n"`
	}](ctx, s, statement)
	if err != nil {
		return 0, err
	}
	if len(found) != 1 || found[0].N == nil {
		return 0, errors.New("the server answers no number")
	}
	return *found[0].N, nil
}

// passing are the codes of exceptions that pass (ClickHouse's ErrorCodes.cpp): timeouts, too much to do, not enough memory just
// now, a replica or its keeper that is away.
var passing = map[int]bool{
	159: true, 160: true, 198: true, 202: true, 203: true, 209: true, 210: true, 225: true, 236: true, 241: true, 242: true,
	252: true, 279: true, 285: true, 319: true, 341: true, 415: true, 439: true, 999: true,
}

var exceptionCode = regexp.MustCompile(`Code: (\d+)[.,]`)

// tellApart finds the server's code in its answer: most exceptions come as status 500, whatever they are. What has none is
// not from ClickHouse but from something in between.
func tellApart(err error) error {
	var status *remote.StatusError
	if !errors.As(err, &status) {
		return err
	}
	found := exceptionCode.FindStringSubmatch(status.Text)
	if found == nil {
		return err
	}
	code, _ := strconv.Atoi(found[1])
	exception := &remote.Words{Brief: fmt.Sprintf("the server answers with exception %d", code), Text: status.Text}
	if passing[code] {
		return fault.RetryAfter(exception, connectors.RetryDelay)
	}
	return exception
}
