package eventlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"tenure/shared/events"
)

// ChainHash is the link of one event: SHA-256 over the previous link and every field that people rely on, each with
// its length in front so that no two different events have the same bytes. The first event of a stream
// follows the empty link. Time counts in microseconds since 1970 UTC, which is what PostgreSQL keeps.
func ChainHash(prev []byte, stream string, e events.Event) []byte {
	h := sha256.New()
	var n [8]byte
	field := func(b []byte) {
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	number := func(v int64) {
		binary.BigEndian.PutUint64(n[:], uint64(v))
		h.Write(n[:])
	}
	field(prev)
	field([]byte(stream))
	number(e.Sequence)
	field([]byte(e.Type))
	number(e.Time.UnixMicro())
	field([]byte(e.Actor))
	field([]byte(e.CorrelationID))
	field([]byte(e.CausationID))
	field(e.Data)
	return h.Sum(nil)
}

// BrokenChainError says where a stream no longer is what was written.
type BrokenChainError struct {
	Stream  string
	Version int64
	Problem string
}

func (e *BrokenChainError) Error() string {
	return fmt.Sprintf("stream %s, version %d: %s", e.Stream, e.Version, e.Problem)
}

// VerifyChain checks that part of a stream follows prev, the link in front of it, whose version is after. It returns
// the last link. The error is a *BrokenChainError: an event was changed, removed, inserted or put elsewhere.
func VerifyChain(stream string, prev []byte, after int64, part []Recorded) ([]byte, error) {
	for _, r := range part {
		if r.Sequence != after+1 {
			return nil, &BrokenChainError{stream, r.Sequence, fmt.Sprintf("follows version %d: events are missing or out of order", after)}
		}
		link := ChainHash(prev, stream, r.Event)
		if !bytes.Equal(link, r.Hash) {
			return nil, &BrokenChainError{stream, r.Sequence, "the hash does not fit the event: it or one before it was changed"}
		}
		prev, after = link, r.Sequence
	}
	return prev, nil
}
