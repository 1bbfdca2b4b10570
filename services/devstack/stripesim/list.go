package stripesim

import (
	"errors"
	"iter"
	"slices"

	"tenure/services/devstack/stripesim/store"
)

// shortList is how long a list is that nobody asked a length for, and also a list
// within an object.
const shortList = 10

// list answers one page of an index, newest first, of the objects that keep wants.
func list[T any, P interface {
	*T
	store.Object
}](c *call, index string, keep func(P) bool) (any, error) {
	limit, after, before, err := c.window()
	if err != nil {
		return nil, err
	}
	walk := store.Newest[T, P](c.Tx, index, after)
	if before != "" {
		walk = store.Oldest[T, P](c.Tx, index, before)
	}
	data, more, err := take(walk, limit, keep)
	if errors.Is(err, store.ErrNotFound) {
		return nil, missing(P(nil).Kind(), after+before, "starting_after")
	}
	if err != nil {
		return nil, err
	}
	if before != "" {
		slices.Reverse(data)
	}
	answer := listOf(c.request.URL.Path, data)
	answer.HasMore = more
	return answer, nil
}

// window is what part of a list a call asks for.
func (c *call) window() (limit int, after, before string, err error) {
	limit = shortList
	if n := c.Int("limit"); n != nil {
		limit = int(*n)
	}
	if limit < 1 || limit > 100 {
		c.Complain("limit", "This value must be between 1 and 100 (it currently is '%d').", limit)
	}
	after, before = c.String("starting_after"), c.String("ending_before")
	if after != "" && before != "" {
		c.Complain("ending_before", "You may only specify one of these parameters: starting_after, ending_before.")
	}
	return limit, after, before, c.Err()
}

// part answers one page of a list that is at hand as a whole.
func part[T any](c *call, all []T, id func(T) string) (any, error) {
	limit, after, before, err := c.window()
	if err != nil {
		return nil, err
	}
	from, to := 0, min(limit, len(all))
	if edge := after + before; edge != "" {
		at := slices.IndexFunc(all, func(v T) bool { return id(v) == edge })
		if at < 0 {
			return nil, missing("object", edge, "starting_after")
		}
		from, to = at+1, min(at+1+limit, len(all))
		if before != "" {
			from, to = max(at-limit, 0), at
		}
	}
	answer := listOf(c.request.URL.Path, all[from:to])
	answer.HasMore = to < len(all)
	if before != "" {
		answer.HasMore = from > 0
	}
	return answer, nil
}

// take reads as far as one object beyond the limit, to know whether there is more.
func take[P any](walk iter.Seq2[P, error], limit int, keep func(P) bool) (data []P, more bool, err error) {
	for object, err := range walk {
		if err != nil {
			return nil, false, err
		}
		if keep != nil && !keep(object) {
			continue
		}
		if len(data) == limit {
			return data, true, nil
		}
		data = append(data, object)
	}
	return data, false, nil
}

// all reads the whole of an index, oldest first. The caller may change the
// objects, which a walk would not bear.
func all[T any, P interface {
	*T
	store.Object
}](t *tx, index string) ([]P, error) {
	data, _, err := take(store.Oldest[T, P](t.Tx, index, ""), -1, nil)
	return data, err
}

// within reads Stripe's range filter of a time: created[gte]=...
func (c *call) within(name string) func(int64) bool {
	if at := c.Sub(name); at.Value() != "" {
		exact := c.Int(name)
		return func(v int64) bool { return exact == nil || v == *exact }
	}
	at := c.Sub(name)
	gt, gte, lt, lte := at.Int("gt"), at.Int("gte"), at.Int("lt"), at.Int("lte")
	return func(v int64) bool {
		return (gt == nil || v > *gt) && (gte == nil || v >= *gte) && (lt == nil || v < *lt) && (lte == nil || v <= *lte)
	}
}

// deleted is the answer of a DELETE.
type deleted struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Deleted bool   `json:"deleted"`
}

// retrieve is the handler that answers one object by its id.
func retrieve[T any, P interface {
	*T
	store.Object
}](c *call) (any, error) {
	if err := c.Err(); err != nil {
		return nil, err
	}
	return find[T, P](c.tx, c.id())
}
