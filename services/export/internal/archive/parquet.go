package archive

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/parquet-go/parquet-go"

	"tenure/services/export/internal/manifest"
)

// rowGroupBytes is how much JSON makes one row group: all of it is in memory until it is written.
const rowGroupBytes = 4 << 20

// vectorRow is a row of a Parquet file of vectors.
type vectorRow struct {
	ID       *string   `parquet:"id,optional"`
	Values   []float64 `parquet:"values,list"`
	Metadata *string   `parquet:"metadata,optional,json"`
	// Rest is a JSON object of all that the row has beside the columns, or has in them of another type: nothing is lost.
	Rest *string `parquet:"rest,optional,json"`
}

// usageRow is a row of a Parquet file of usage.
type usageRow struct {
	ID       *string    `parquet:"id,optional"`
	Metric   *string    `parquet:"metric,optional"`
	Quantity *float64   `parquet:"quantity,optional"`
	Time     *time.Time `parquet:"time,optional,timestamp(microsecond)"`
	Rest     *string    `parquet:"rest,optional,json"`
}

// fields are what a row of JSON has and no column took yet.
type fields map[string]json.RawMessage

// take moves a field into a column, if it is of the column's type.
func (f fields) take(name string, column any) {
	if raw, ok := f[name]; ok && json.Unmarshal(raw, column) == nil {
		delete(f, name)
	}
}

// takeTime takes a time that is no finer than the column.
func (f fields) takeTime(name string) *time.Time {
	var at *time.Time
	if json.Unmarshal(f[name], &at) != nil || at == nil || !at.Equal(at.Truncate(time.Microsecond)) {
		return nil
	}
	delete(f, name)
	utc := at.UTC()
	return &utc
}

// takeJSON takes a field of any type.
func (f fields) takeJSON(name string) *string {
	raw, ok := f[name]
	if !ok {
		return nil
	}
	delete(f, name)
	text := string(raw)
	return &text
}

// rest is what is left, in the order of its names.
func (f fields) rest() *string {
	if len(f) == 0 {
		return nil
	}
	all, err := json.Marshal(f)
	if err != nil {
		return nil // cannot be: each was read from JSON
	}
	text := string(all)
	return &text
}

func vectorOf(f fields) (row vectorRow) {
	f.take("id", &row.ID)
	f.take("values", &row.Values)
	row.Metadata = f.takeJSON("metadata")
	row.Rest = f.rest()
	return row
}

func usageOf(f fields) (row usageRow) {
	f.take("id", &row.ID)
	f.take("metric", &row.Metric)
	f.take("quantity", &row.Quantity)
	row.Time = f.takeTime("time")
	row.Rest = f.rest()
	return row
}

// table turns rows of JSON into a Parquet file.
type table struct {
	row   []byte
	group int // bytes of JSON since the last row group
	out   *counter
	put   func(fields) error
	flush func() error
	close func() error
}

func newTable(kind string, to io.Writer) (*table, error) {
	t := &table{out: &counter{to: to}}
	switch kind {
	case manifest.Vectors:
		columns(t, vectorOf)
	case manifest.Usage:
		columns(t, usageOf)
	default:
		return nil, fmt.Errorf("archive: %s cannot be written as Parquet, only %s and %s", kind, manifest.Vectors, manifest.Usage)
	}
	return t, nil
}

func columns[Row any](t *table, rowOf func(fields) Row) {
	w := parquet.NewGenericWriter[Row](t.out, parquet.Compression(&parquet.Snappy), parquet.CreatedBy("tenure", "1", ""))
	t.put = func(f fields) error {
		_, err := w.Write([]Row{rowOf(f)})
		return err
	}
	t.flush, t.close = w.Flush, w.Close
}

func (t *table) Write(p []byte) (int, error) {
	t.row = append(t.row, p...)
	return len(p), nil
}

func (t *table) EndRow() error {
	var f fields
	if err := json.Unmarshal(t.row, &f); err != nil {
		return fmt.Errorf("a row is no JSON object: %w", err)
	}
	if err := t.put(f); err != nil {
		return err
	}
	t.group += len(t.row)
	t.row = t.row[:0]
	if t.group < rowGroupBytes {
		return nil
	}
	t.group = 0
	return t.flush()
}

func (t *table) Bytes() int64 { return t.out.n }

func (t *table) Close() error { return t.close() }
