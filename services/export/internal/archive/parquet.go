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

// vectorRow is a row of a Parquet file of vectors. Columns of JSON are text: parquet-go v0.32.0 breaks on the type JSON
// where a column is optional.
type vectorRow struct {
	ID       *string   `parquet:"id,optional"`
	Values   []float64 `parquet:"values,list"`
	Metadata string    `parquet:"metadata,optional"`
	// Rest is a JSON object, as text, of all that the row has beside the columns, or has in them of another type: nothing
	// is lost.
	Rest string `parquet:"rest,optional"`
}

// usageRow is a row of a Parquet file of usage.
type usageRow struct {
	ID       *string    `parquet:"id,optional"`
	Metric   *string    `parquet:"metric,optional"`
	Quantity *float64   `parquet:"quantity,optional"`
	Time     *time.Time `parquet:"time,optional,timestamp(microsecond)"`
	Rest     string     `parquet:"rest,optional"`
}

// fields are what a row of JSON has and no column took yet.
type fields map[string]json.RawMessage

// take moves a field into a column, if it is of the column's type.
func take[T any](f fields, name string) (column T) {
	raw, ok := f[name]
	if !ok {
		return column
	}
	var value T
	if json.Unmarshal(raw, &value) != nil {
		return column
	}
	delete(f, name)
	return value
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

// rest is what is left, in the order of its names.
func (f fields) rest() string {
	if len(f) == 0 {
		return ""
	}
	all, err := json.Marshal(f)
	if err != nil {
		return "" // cannot be: each was read from JSON
	}
	return string(all)
}

func vectorOf(f fields) (row vectorRow) {
	row.ID, row.Values, row.Metadata = take[*string](f, "id"), take[[]float64](f, "values"), string(take[json.RawMessage](f, "metadata"))
	row.Rest = f.rest()
	return row
}

func usageOf(f fields) (row usageRow) {
	row.ID, row.Metric, row.Quantity = take[*string](f, "id"), take[*string](f, "metric"), take[*float64](f, "quantity")
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
