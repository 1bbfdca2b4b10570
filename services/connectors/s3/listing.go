package s3

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"
)

// listed is one line of a listing.
type listed struct {
	Key      string    `json:"k"`
	ETag     string    `json:"e"`
	Modified time.Time `json:"m"`
}

// sum is a checksum of a set of objects: of two sets that have none in common it is that of both together. Sums may
// wrap around.
type sum uint64

func (o listed) sum() sum {
	hash := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", o.Key, o.ETag, o.Modified.UnixNano()))
	return sum(binary.BigEndian.Uint64(hash[:]))
}

func (s sum) String() string { return fmt.Sprintf("%016x", uint64(s)) }

func parseSum(text string) (sum, error) {
	n, err := strconv.ParseUint(text, 16, 64)
	return sum(n), err
}

// position is the object behind which a range begins or with which it ends, and the sum of all up to it: two positions
// tell what was between them. The zero position is the listing's beginning.
type position struct {
	upTo sum
	key  string
}

func (p position) String() string { return p.upTo.String() + ":" + p.key }

func parsePosition(text string) (p position, err error) {
	if text == "" {
		return p, nil
	}
	upTo, key, ok := strings.Cut(text, ":")
	p.key = key
	if p.upTo, err = parseSum(upTo); err != nil || !ok {
		return p, fmt.Errorf("%q is no position in a listing", text)
	}
	return p, nil
}

// blockRows is how far apart the entries are whose offsets are kept in memory.
const blockRows = 1000

// listing is a file of JSON lines, since a tenant may have more objects than fit the memory. Once it is written it may be
// read side by side.
type listing struct {
	file *os.File
	size int64
	rows int64
	all  sum
	// keys and offsets are those of every blockRows-th entry.
	keys    []string
	offsets []int64
	// unordered: the server lists its objects in no order, so that a key does not tell what comes before it.
	unordered bool
}

func newListing() (*listing, error) {
	file, err := os.CreateTemp("", "tenure-listing-*")
	if err != nil {
		return nil, err
	}
	// Without a name the file is gone with this process, however that ends.
	if err := os.Remove(file.Name()); err != nil {
		file.Close()
		return nil, err
	}
	return &listing{file: file}, nil
}

// write fills the listing.
func (l *listing) write(entries iter.Seq2[listed, error]) error {
	out := bufio.NewWriter(l.file)
	last := ""
	for o, err := range entries {
		if err != nil {
			return err
		}
		if l.rows%blockRows == 0 {
			l.keys, l.offsets = append(l.keys, o.Key), append(l.offsets, l.size)
		}
		line, err := json.Marshal(o)
		if err != nil {
			return err
		}
		n, err := out.Write(append(line, '\n'))
		if err != nil {
			return err
		}
		l.unordered = l.unordered || o.Key < last
		last = o.Key
		l.size += int64(n)
		l.rows++
		l.all += o.sum()
	}
	return out.Flush()
}

// between reads the entries behind a key, up to and with another; an empty key leaves that end open.
func (l *listing) between(after, upTo string) iter.Seq2[listed, error] {
	return func(yield func(listed, error) bool) {
		lines := json.NewDecoder(bufio.NewReader(io.NewSectionReader(l.file, l.begin(after), l.size)))
		for {
			var o listed
			err := lines.Decode(&o)
			switch {
			case errors.Is(err, io.EOF), upTo != "" && o.Key > upTo:
				return
			case err == nil && after != "" && o.Key <= after:
				continue
			}
			if !yield(o, err) || err != nil {
				return
			}
		}
	}
}

// begin is the offset of the last block that may begin at or before a key.
func (l *listing) begin(after string) int64 {
	block := sort.Search(len(l.keys), func(i int) bool { return l.keys[i] > after }) - 1
	if after == "" || block < 0 {
		return 0
	}
	return l.offsets[block]
}

func (l *listing) close() { l.file.Close() }
