package unpack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/parquet-go/parquet-go"

	"tenure/services/export/internal/manifest"
)

// Spool copies the content of a Parquet file, which is read from its end, to a temporary file. It has no name, so that it is
// gone with this process however that ends: it may have been encrypted.
func Spool(content io.Reader) (*os.File, error) {
	file, err := os.CreateTemp("", "tenure-parquet-*")
	if err != nil {
		return nil, err
	}
	if err = os.Remove(file.Name()); err == nil {
		_, err = io.Copy(file, content)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// CountTable tells the rows of a Parquet file of this size by its own footer.
func CountTable(file io.ReaderAt, size int64) (int64, error) {
	table, err := parquet.OpenFile(file, size)
	if err != nil {
		return 0, fmt.Errorf("it is no Parquet file: %w", err)
	}
	return table.NumRows(), nil
}

func (f File) parquetRows(listed manifest.File, row func(json.RawMessage) error) error {
	content, closeStored, err := f.open(listed)
	if err != nil {
		return err
	}
	defer closeStored()
	file, err := Spool(content)
	if err != nil {
		return err
	}
	defer file.Close()
	switch kind := manifest.KindOf(f.Name); kind {
	case manifest.Vectors:
		return table(file, vectorRow.json, row)
	case manifest.Usage:
		return table(file, usageRow.json, row)
	default:
		return fmt.Errorf("rows of %s are not known as Parquet", kind)
	}
}

// rowsAtOnce are in memory while a table is read.
const rowsAtOnce = 64

func table[Row any](file io.ReaderAt, toJSON func(Row) (json.RawMessage, error), row func(json.RawMessage) error) (err error) {
	r := parquet.NewGenericReader[Row](file)
	defer func() { err = errors.Join(err, r.Close()) }()
	rows := make([]Row, rowsAtOnce)
	for {
		clear(rows) // the reader leaves what a row has no value for
		n, readErr := r.Read(rows)
		for _, values := range rows[:n] {
			line, err := toJSON(values)
			if err != nil {
				return err
			}
			if err := row(line); err != nil {
				return err
			}
		}
		if errors.Is(readErr, io.EOF) {
			return nil
		}
		if readErr != nil {
			return readErr
		}
	}
}

// vectorRow is a row of a Parquet file of vectors, as package archive writes it: Metadata and Rest are JSON, or empty.
type vectorRow struct {
	ID       *string   `parquet:"id,optional"`
	Values   []float64 `parquet:"values,list"`
	Metadata string    `parquet:"metadata,optional"`
	Rest     string    `parquet:"rest,optional"`
}

func (r vectorRow) json() (json.RawMessage, error) {
	row, err := rest(r.Rest)
	if err != nil {
		return nil, err
	}
	put(row, "id", r.ID)
	if r.Values != nil {
		put(row, "values", &r.Values)
	}
	if r.Metadata != "" {
		row["metadata"] = json.RawMessage(r.Metadata)
	}
	return json.Marshal(row)
}

// usageRow is a row of a Parquet file of usage.
type usageRow struct {
	ID       *string    `parquet:"id,optional"`
	Metric   *string    `parquet:"metric,optional"`
	Quantity *float64   `parquet:"quantity,optional"`
	Time     *time.Time `parquet:"time,optional,timestamp(microsecond)"`
	Rest     string     `parquet:"rest,optional"`
}

func (r usageRow) json() (json.RawMessage, error) {
	row, err := rest(r.Rest)
	if err != nil {
		return nil, err
	}
	put(row, "id", r.ID)
	put(row, "metric", r.Metric)
	put(row, "quantity", r.Quantity)
	if r.Time != nil {
		utc := r.Time.UTC()
		put(row, "time", &utc)
	}
	return json.Marshal(row)
}

// rest are the fields that had no column.
func rest(text string) (row map[string]any, err error) {
	row = map[string]any{}
	if text == "" {
		return row, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		return nil, fmt.Errorf("the rest of a row: %w", err)
	}
	for name, value := range fields {
		row[name] = value
	}
	return row, nil
}

func put[T any](row map[string]any, name string, value *T) {
	if value != nil {
		row[name] = *value
	}
}
