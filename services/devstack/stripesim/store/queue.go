package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
)

// Item is one entry of a queue.
type Item struct {
	Due  int64 // Unix seconds
	Key  string
	Data json.RawMessage
}

// Enqueue puts an entry where its time is; equal times keep the order of the calls.
func (t *Tx) Enqueue(queue string, due int64, data any) error {
	b, err := t.tx.CreateBucketIfNotExists([]byte("queue " + queue))
	if err != nil {
		return err
	}
	seq, err := b.NextSequence()
	if err != nil {
		return err
	}
	encoded, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode an entry of %s: %w", queue, err)
	}
	key := binary.BigEndian.AppendUint64(nil, uint64(max(due, 0)))
	return b.Put(binary.BigEndian.AppendUint64(key, seq), encoded)
}

// Queue walks a queue in the order of time.
func (t *Tx) Queue(queue string) iter.Seq[Item] {
	return func(yield func(Item) bool) {
		b := t.tx.Bucket([]byte("queue " + queue))
		if b == nil {
			return
		}
		c := b.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			due := int64(binary.BigEndian.Uint64(k))
			if !yield(Item{Due: due, Key: string(k), Data: append(json.RawMessage(nil), v...)}) {
				return
			}
		}
	}
}

// Dequeue removes an entry; false means that it was gone already.
func (t *Tx) Dequeue(queue, key string) (bool, error) {
	b := t.tx.Bucket([]byte("queue " + queue))
	if b == nil || b.Get([]byte(key)) == nil {
		return false, nil
	}
	return true, b.Delete([]byte(key))
}
