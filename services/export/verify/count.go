package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
)

// summer counts and hashes what passes.
type summer struct {
	hash hash.Hash
	n    int64
}

func newSummer() *summer { return &summer{hash: sha256.New()} }

func (s *summer) Write(p []byte) (int, error) {
	s.n += int64(len(p))
	return s.hash.Write(p)
}

func (s *summer) check(form string, bytes int64, sum string) error {
	switch {
	case s.n != bytes:
		return fmt.Errorf("it has another size than the %d %sbytes of the manifest", bytes, form)
	case hex.EncodeToString(s.hash.Sum(nil)) != sum:
		return fmt.Errorf("its %sSHA-256 is not that of the manifest", form)
	}
	return nil
}

type lineCounter struct {
	n    int64
	last byte
}

func (c *lineCounter) Write(p []byte) (int, error) {
	c.n += int64(bytes.Count(p, []byte{'\n'}))
	if len(p) > 0 {
		c.last = p[len(p)-1]
	}
	return len(p), nil
}
