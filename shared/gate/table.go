package gate

import "math/bits"

// key stands for a tenant's id: 128 bits of a hash with two random seeds. Ids of any length cost the same, and there is no
// pointer for the garbage collector to follow. That two of a million tenants get one key is less likely, by far, than that
// the memory fails; and nobody can look for such ids, for the seeds are this process's alone.
type key struct{ high, low uint64 }

// table maps keys to entries: a hash table with open addressing and linear probing, from which nothing is ever removed.
// Beside Go's map, with such keys, it takes half the time, and about 37 to 47 bytes a tenant at any size, where the map
// takes up to 90 after it has grown.
type table struct {
	slots []slot
	used  int
}

// slot is empty when its key is zero, which no id's hash is; see key.
type slot struct {
	key
	entry
}

func newTable() table { return table{slots: make([]slot, 8)} }

// find is the slot that holds k, or the empty one where it belongs. There always is an empty one; see at.
func (t *table) find(k key) *slot {
	n := uint64(len(t.slots))
	i, _ := bits.Mul64(k.low, n) // scales the hash to the table, whose size need not be a power of two
	for t.slots[i].key != k && t.slots[i].key != (key{}) {
		if i++; i == n {
			i = 0
		}
	}
	return &t.slots[i]
}

// get is the zero entry when k is not there.
func (t *table) get(k key) entry { return t.find(k).entry }

// at is the entry of k, made when it is not there. The pointer is good until the next call.
func (t *table) at(k key) *entry {
	s := t.find(k)
	if s.key == k {
		return &s.entry
	}
	if (t.used+1)*8 > len(t.slots)*7 {
		t.grow()
		s = t.find(k)
	}
	t.used++
	s.key = k
	return &s.entry
}

// grow makes a quarter more room: memory counts here, and growing is rare.
func (t *table) grow() {
	old := t.slots
	t.slots = make([]slot, len(old)+len(old)/4)
	for _, s := range old {
		if s.key != (key{}) {
			*t.find(s.key) = s
		}
	}
}
