package postgres

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// horizon tells rows that an earlier snapshot saw from those written behind it, by the transaction that wrote them.
type horizon struct {
	// bound is the oldest transaction that was open at the earlier snapshot. What older ones wrote it saw; what this or a
	// newer one wrote it may not have seen. A part of a transaction (a savepoint) is newer than its whole.
	bound uint64
	// now is where the present snapshot ends: the transactions that wrote the rows it sees are older.
	now uint64
}

// epoch is how many transactions there are before a row's xmin, which has 32 bits, counts from 0 again.
const epoch = math.MaxUint32 + 1

// newHorizon fails when the two snapshots lie so far apart that xmin cannot tell them.
func newHorizon(earlier, now mark) (*horizon, error) {
	if now.xmax < earlier.xmin || now.xmax-earlier.xmin >= epoch {
		return nil, errors.New("the snapshots are too far apart")
	}
	return &horizon{bound: earlier.xmin, now: now.xmax}, nil
}

// holds is the condition that a row was written before the bound. An xmin that would be above the present is of the
// epoch before. Freezing leaves xmin as it was.
func (h *horizon) holds(xmin string) string {
	n := xmin + `::text::bigint`
	began := int64(h.now - h.now%epoch)
	return fmt.Sprintf(`%s + CASE WHEN %s < %d THEN %d ELSE %d END < %d`, n, n, h.now%epoch, began, began-epoch, h.bound)
}

// mark is a snapshot as a watermark names it: "xmin:xmax:xip@start#map".
type mark struct {
	xmin, xmax uint64
	// instance is the server's start and what was read of it. Behind a restart may stand another server: one that took
	// over without the last commits gives their transactions' numbers to others. And with another data map the same
	// rows look different.
	instance string
}

func parseMark(text string) (m mark, err error) {
	snapshot, instance, _ := strings.Cut(text, "@")
	xmin, rest, _ := strings.Cut(snapshot, ":")
	xmax, _, _ := strings.Cut(rest, ":")
	m.instance = instance
	if m.xmin, err = strconv.ParseUint(xmin, 10, 64); err == nil {
		m.xmax, err = strconv.ParseUint(xmax, 10, 64)
	}
	return m, err
}
