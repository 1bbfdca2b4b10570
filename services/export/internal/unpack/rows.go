package unpack

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"tenure/services/export/internal/manifest"
)

// Rows calls row with each row of the file, which is one of the manifest's, as it was before it was written in any form. row
// must not keep what it is given. A row is held in memory, be it as large as it is.
func (f File) Rows(listed manifest.File, row func(json.RawMessage) error) error {
	if manifest.FormOf(f.Name).Parquet {
		return f.parquetRows(listed, row)
	}
	content, closeStored, err := f.open(listed)
	if err != nil {
		return err
	}
	defer closeStored()
	lines := bufio.NewReaderSize(content, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		if err != nil {
			return err // a last row that is cut, too: io.EOF comes with it
		}
		if err := row(bytes.TrimSuffix(line, []byte{'\n'})); err != nil {
			return err
		}
	}
}

// open bounds the content by what the manifest says of it.
func (f File) open(listed manifest.File) (content io.Reader, closeStored func(), err error) {
	stored, err := f.Stored()
	if err != nil {
		return nil, nil, err
	}
	content, err = f.Content(stored)
	if err != nil {
		stored.Close()
		return nil, nil, err
	}
	return io.LimitReader(content, listed.Bytes), func() { stored.Close() }, nil
}
