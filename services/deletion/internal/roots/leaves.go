package roots

import (
	"bufio"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
)

// Head is the end of one tenant's hash chain. Its JSON on one line is a leaf of the tree.
type Head struct {
	Tenant  string `json:"tenant"`
	Version int64  `json:"version"`
	// Hash is the link of the event with that version, in hex.
	Hash string `json:"hash"`
}

// Summary is what a root says of its leaves.
type Summary struct {
	// Tenants is the number of leaves.
	Tenants int64 `json:"tenants"`
	// Events is how many stand in all logs together.
	Events int64 `json:"events"`
	// Root is the root of the Merkle tree (RFC 6962) over the leaves, in hex.
	Root string `json:"root"`
}

// maxLine is far above what the longest tenant id takes.
const maxLine = 4 << 10

// Write writes the heads, which must come in the bytewise order of their tenants, as gzipped lines of JSON, and returns
// what a root over them says. It keeps no more than one line.
func Write(w io.Writer, heads iter.Seq2[Head, error]) (Summary, error) {
	zip := gzip.NewWriter(w)
	var c collector
	for head, err := range heads {
		if err != nil {
			return Summary{}, err
		}
		line, err := json.Marshal(head)
		if err != nil {
			return Summary{}, fmt.Errorf("encode the head of %s: %w", head.Tenant, err)
		}
		if err := c.add(head, line); err != nil {
			return Summary{}, err
		}
		if _, err := zip.Write(append(line, '\n')); err != nil {
			return Summary{}, err
		}
	}
	return c.summary(), zip.Close()
}

// Read reads what Write has written, calls each with every head, and returns what a root over them says. What each was
// given is genuine only when that equals what a signed root says.
func Read(r io.Reader, each func(Head) error) (Summary, error) {
	zip, err := gzip.NewReader(r)
	if err != nil {
		return Summary{}, fmt.Errorf("read the leaves: %w", err)
	}
	lines := bufio.NewScanner(zip)
	lines.Buffer(nil, maxLine)
	var c collector
	for lines.Scan() {
		var head Head
		if err := json.Unmarshal(lines.Bytes(), &head); err != nil {
			return Summary{}, fmt.Errorf("leaf %d: %w", c.tree.Size()+1, err)
		}
		if err := c.add(head, lines.Bytes()); err != nil {
			return Summary{}, err
		}
		if err := each(head); err != nil {
			return Summary{}, err
		}
	}
	if err := lines.Err(); err != nil {
		return Summary{}, fmt.Errorf("read the leaves: %w", err)
	}
	return c.summary(), nil
}

// collector makes a summary of leaves.
type collector struct {
	tree   Tree
	events int64
	last   string
}

var errOrder = errors.New("the leaves are not in the order of their tenants, each once")

func (c *collector) add(head Head, leaf []byte) error {
	if c.tree.Size() > 0 && head.Tenant <= c.last {
		return fmt.Errorf("%w: %q follows %q", errOrder, head.Tenant, c.last)
	}
	c.last = head.Tenant
	c.events += head.Version
	c.tree.Add(leaf)
	return nil
}

func (c *collector) summary() Summary {
	root := c.tree.Root()
	return Summary{Tenants: c.tree.Size(), Events: c.events, Root: hex.EncodeToString(root[:])}
}
