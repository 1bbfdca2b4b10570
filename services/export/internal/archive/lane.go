package archive

import (
	"fmt"
	"slices"
)

// LeastPart is the least that S3 takes as a part of an upload, but for the last one, in bytes.
const LeastPart = 5 << 20

// Part is a part of an upload as S3 knows it.
type Part struct {
	Number int32 `json:"number"`
	Bytes  int64 `json:"bytes"`
	// ETag and CRC32 (base64) tell it from what anybody else uploads under the same number.
	ETag  string `json:"etag"`
	CRC32 string `json:"crc32,omitempty"`
}

// Numbers are those of the parts that a lane may make, the last one excluded: S3 puts the parts together in their order,
// whenever they were uploaded.
type Numbers struct {
	First int32 `json:"first"`
	Last  int32 `json:"last"`
}

// size is how large the part with this number should be. The numbers of an upload are limited, its size is not known: so
// the later parts of a lane that has much more than was thought are larger. It follows from the number alone, so that
// whoever goes on with a lane makes the same parts.
func (n Numbers) size(number int32) int {
	return LeastPart * (1 + 4*int(number-n.First)/max(int(n.Last-n.First), 1))
}

// Lane cuts a run of entries into parts, which are put together with those of other lanes. What is left of it in the end is
// too little for a part: it begins with an entry, since it is put elsewhere, and an entry must stand in one piece. It is
// for one goroutine.
type Lane struct {
	numbers Numbers
	next    int32
	base    int64 // bytes in the parts that were made
	buf     []byte
	put     Put
}

// Put uploads a part; body is the lane's again afterwards. ends says that a file ends with it.
type Put func(number int32, body []byte, ends bool) error

// NewLane goes on behind the parts that were made already, and collects the next one in buf.
func NewLane(numbers Numbers, made []Part, buf []byte, put Put) *Lane {
	l := &Lane{numbers: numbers, next: numbers.First, buf: buf[:0], put: put}
	for _, p := range made {
		l.next, l.base = p.Number+1, l.base+p.Bytes
	}
	return l
}

// Offset is where the lane is, in bytes from its beginning.
func (l *Lane) Offset() int64 { return l.base + int64(len(l.buf)) }

// Write adds to the entry that is open. It holds a part's worth back, so that the entry's last part is large enough.
func (l *Lane) Write(p []byte) (int, error) {
	for written := 0; ; {
		size := l.numbers.size(l.next)
		n := min(len(p)-written, 2*size-len(l.buf))
		l.grow(n, 2*size)
		l.buf = append(l.buf, p[written:written+n]...)
		written += n
		if len(l.buf) < 2*size {
			return written, nil
		}
		if err := l.cut(size, false); err != nil {
			return written, err
		}
	}
}

// smallLane is how far a lane's buffer grows step by step: most lanes are of kinds with few rows.
const smallLane = 256 << 10

// grow makes room for n bytes more. A lane that is not small gets all the room that it may ever need at once: growing
// by and by would leave several times as much behind for the garbage collector.
func (l *Lane) grow(n, most int) {
	if need := len(l.buf) + n; need > smallLane && need > cap(l.buf) {
		l.buf = slices.Grow(l.buf, most-len(l.buf))
	}
}

// EndFile makes a part of what is there, if it is enough for one.
func (l *Lane) EndFile() error {
	if len(l.buf) < LeastPart {
		return nil
	}
	return l.cut(len(l.buf), true)
}

// Rest is what is left for the end of the archive.
func (l *Lane) Rest() []byte { return l.buf }

// End makes the upload's last part of what is left.
func (l *Lane) End() error {
	if len(l.buf) == 0 {
		return nil
	}
	return l.cut(len(l.buf), true)
}

func (l *Lane) cut(size int, ends bool) error {
	if l.next >= l.numbers.Last {
		return fmt.Errorf("archive: there is more than S3 has room for in %d parts; export the kinds one by one", l.numbers.Last-l.numbers.First)
	}
	if err := l.put(l.next, l.buf[:size:size], ends); err != nil {
		return err
	}
	l.buf = append(l.buf[:0], l.buf[size:]...)
	l.next++
	l.base += int64(size)
	return nil
}
