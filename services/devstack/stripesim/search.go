package stripesim

import (
	"fmt"
	"regexp"
	"strings"

	"tenure/services/devstack/stripesim/store"
)

// searchPage is the answer of the search endpoints.
type searchPage struct {
	Object   string  `json:"object"`
	Data     []any   `json:"data"`
	HasMore  bool    `json:"has_more"`
	NextPage *string `json:"next_page"`
	URL      string  `json:"url"`
}

func searchCustomers(c *call) (any, error)     { return search[customer](c) }
func searchSubscriptions(c *call) (any, error) { return search[subscription](c) }

// clause is field:'value' or metadata['key']:'value'.
var clause = regexp.MustCompile(`^(?:(\w+)|metadata\[['"]([^'"]+)['"]\])\s*:\s*['"]([^'"]*)['"]$`)

// search finds objects at once. At Stripe a new object can be missing for a minute:
// nothing that must see its own writes may search.
func search[T any, P interface {
	*T
	store.Object
}](c *call) (any, error) {
	matches, err := compile(c.Require("query"))
	if err != nil {
		return nil, err
	}
	limit := int64(10)
	if n := c.Int("limit"); n != nil {
		limit = *n
	}
	after := c.String("page")
	if err := c.Err(); err != nil {
		return nil, err
	}
	found := searchPage{Object: "search_result", Data: []any{}, URL: c.request.URL.Path}
	for object, err := range store.Newest[T, P](c.Tx, "", after) {
		if err != nil {
			return nil, err
		}
		rendered, err := render(object)
		if err != nil {
			return nil, err
		}
		if !matches(rendered) {
			continue
		}
		if int64(len(found.Data)) == limit {
			last, _ := found.Data[limit-1].(map[string]any)
			id, _ := last["id"].(string)
			found.HasMore, found.NextPage = true, &id
			break
		}
		found.Data = append(found.Data, rendered)
	}
	return found, nil
}

// compile understands clauses that are joined by AND.
func compile(query string) (func(map[string]any) bool, error) {
	type want struct{ field, key, value string }
	var wants []want
	for part := range strings.SplitSeq(query, " AND ") {
		m := clause.FindStringSubmatch(strings.TrimSpace(part))
		if m == nil {
			return nil, invalid("query", "We were unable to parse your search query: %s", query)
		}
		wants = append(wants, want{field: m[1], key: m[2], value: m[3]})
	}
	return func(object map[string]any) bool {
		for _, w := range wants {
			value := object[w.field]
			if w.key != "" {
				metadata, _ := object["metadata"].(map[string]any)
				value = metadata[w.key]
			}
			if value == nil || fmt.Sprint(value) != w.value {
				return false
			}
		}
		return true
	}, nil
}
