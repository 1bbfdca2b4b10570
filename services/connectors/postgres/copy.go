package postgres

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"

	"tenure/services/connectors"
)

// copyHeader starts a binary COPY: signature, flags, and the length of an extension that PostgreSQL never writes.
const (
	copySignature = "PGCOPY\n\xff\r\n\x00"
	copyHeader    = len(copySignature) + 4 + 4
	copyTrailer   = -1
)

var errCopyFormat = errors.New("the server's COPY stream is not as its documentation says")

// copiedRows hands each row of a binary COPY of one column to a sink. The server sends one row in one message
// (PostgreSQL's protocol, CopyData), and pgconn makes one Write of each message.
type copiedRows struct {
	to     connectors.Sink
	begun  bool
	err    error
	joined bytes.Buffer
}

func (c *copiedRows) Write(message []byte) (int, error) {
	c.err = c.row(message)
	return len(message), c.err
}

func (c *copiedRows) row(message []byte) error {
	if !c.begun {
		if len(message) < copyHeader || !bytes.HasPrefix(message, []byte(copySignature)) {
			return errCopyFormat
		}
		c.begun = true
		message = message[copyHeader:]
	}
	if len(message) == 0 {
		return nil // the header alone
	}
	if len(message) < 2 {
		return errCopyFormat
	}
	fields := int16(binary.BigEndian.Uint16(message))
	if fields == copyTrailer {
		return nil
	}
	if fields != 1 || len(message) < 6 || int(binary.BigEndian.Uint32(message[2:])) != len(message)-6 {
		return errCopyFormat
	}
	row, err := c.oneLine(message[6:])
	if err != nil {
		return err
	}
	if _, err := c.to.Write(row); err != nil {
		return err
	}
	return c.to.EndRow()
}

// oneLine takes out the line breaks that a column of type json keeps between its tokens.
func (c *copiedRows) oneLine(row []byte) ([]byte, error) {
	if bytes.IndexByte(row, '\n') < 0 {
		return row, nil
	}
	c.joined.Reset()
	err := json.Compact(&c.joined, row)
	return c.joined.Bytes(), err
}
