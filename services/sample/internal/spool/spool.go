// Package spool puts aside what is too large for the memory.
package spool

import (
	"bufio"
	"fmt"
	"io"
	"os"
)

// File returns what write wrote, from its beginning. It is gone when the file is closed, or with this process, however that
// ends.
func File(write func(w io.Writer) error) (*os.File, error) {
	file, err := os.CreateTemp("", "tenure-sample-*")
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if err := fill(file, write); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

func fill(file *os.File, write func(w io.Writer) error) error {
	if err := os.Remove(file.Name()); err != nil { // without a name nobody has to tidy up
		return fmt.Errorf("spool: %w", err)
	}
	out := bufio.NewWriter(file)
	if err := write(out); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}
