package mailbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
)

// store is a file of JSON lines. It keeps nothing in memory: the list is the file.
type store struct {
	mu   sync.Mutex
	file *os.File
	size int64 // of the whole lines, in bytes
}

// openStore cuts off a last line without an end: a kill in the middle of a write left it, and its sender was never
// told that the mail was taken.
func openStore(path string) (*store, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	s := &store{file: file, size: int64(bytes.LastIndexByte(content, '\n') + 1)}
	if err := file.Truncate(s.size); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

// append returns when the mail is on disk. A write that failed half-way is overwritten by the next one.
func (s *store) append(m Mail) error {
	line, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the mail: %w", err)
	}
	line = append(line, '\n')

	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.file.WriteAt(line, s.size); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	s.size += int64(len(line))
	return nil
}

// ServeHTTP answers with all mails as a JSON list, oldest first.
func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the mailbox can only be read", http.StatusMethodNotAllowed)
		return
	}
	s.mu.Lock()
	size := s.size
	s.mu.Unlock()
	// Lines are only ever added, so that what is before size needs no lock.
	lines, err := io.ReadAll(io.NewSectionReader(s.file, 0, size))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// JSON has no line feed within a value, so that each one here is between two mails.
	list := bytes.ReplaceAll(bytes.TrimSuffix(lines, []byte("\n")), []byte("\n"), []byte(",\n"))
	fmt.Fprintf(w, "[%s]\n", list)
}

func (s *store) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.file.Close() // every line was synced when it was written
}
