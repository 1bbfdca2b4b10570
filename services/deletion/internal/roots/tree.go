// Package roots makes one number of the ends of all tenants' hash chains: the root of a Merkle tree, which is signed and
// kept away from the log. Whoever has it can tell that no tenant's log was cut, rewritten or removed behind it. The
// package is pure: no clock, no randomness, and no I/O but through readers and writers that it is handed.
package roots

import "crypto/sha256"

// Tree is a Merkle tree as RFC 6962, section 2.1, defines it, to which leaves are added one by one. It keeps one hash per
// level, whatever its size. The zero Tree is empty; it is not safe for concurrent use.
type Tree struct {
	// peaks are the roots of the whole subtrees so far, the largest first: one for each bit that is set in size.
	peaks [][sha256.Size]byte
	size  int64
}

// What is hashed begins with one of these, so that no inner node can be passed off as a leaf.
const (
	leafPrefix = 0x00
	nodePrefix = 0x01
)

// Add appends a leaf.
func (t *Tree) Add(leaf []byte) {
	h := hashLeaf(leaf)
	for bit := t.size; bit&1 == 1; bit >>= 1 {
		last := len(t.peaks) - 1
		h = hashNode(t.peaks[last], h)
		t.peaks = t.peaks[:last]
	}
	t.peaks = append(t.peaks, h)
	t.size++
}

// Size is how many leaves there are.
func (t *Tree) Size() int64 { return t.size }

// Root is the hash of all leaves; of none, it is that of the empty string.
func (t *Tree) Root() [sha256.Size]byte {
	if len(t.peaks) == 0 {
		return sha256.Sum256(nil)
	}
	last := len(t.peaks) - 1
	root := t.peaks[last]
	for i := last - 1; i >= 0; i-- {
		root = hashNode(t.peaks[i], root)
	}
	return root
}

func hashLeaf(leaf []byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	h.Write([]byte{leafPrefix})
	h.Write(leaf)
	h.Sum(sum[:0])
	return sum
}

func hashNode(left, right [sha256.Size]byte) [sha256.Size]byte {
	var node [1 + 2*sha256.Size]byte
	node[0] = nodePrefix
	copy(node[1:], left[:])
	copy(node[1+sha256.Size:], right[:])
	return sha256.Sum256(node[:])
}
