package stripesim

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"strings"

	"tenure/services/devstack/stripesim/store"
)

// shapeFiles hold, by kind of object, the fields that Stripe always sends and the
// simulator never changes. An object's type names only the fields that live.
//
//go:embed shapes/*.json
var shapeFiles embed.FS

var shapes = loadShapes()

func loadShapes() map[string]map[string]any {
	entries, err := shapeFiles.ReadDir("shapes")
	if err != nil {
		panic(err) // the files are part of the program
	}
	all := map[string]map[string]any{}
	for _, entry := range entries {
		data, err := shapeFiles.ReadFile(path.Join("shapes", entry.Name()))
		if err != nil {
			panic(err)
		}
		var shape map[string]any
		if err := decode(data, &shape); err != nil {
			panic(fmt.Sprintf("%s: %v", entry.Name(), err))
		}
		all[strings.TrimSuffix(entry.Name(), ".json")] = shape
	}
	return all
}

// decode keeps numbers as they are written: an amount must not become a float.
func decode(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(v)
}

// render gives an object Stripe's full shape.
func render(object any) (map[string]any, error) {
	data, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", object, err)
	}
	var rendered map[string]any
	if err := decode(data, &rendered); err != nil {
		return nil, fmt.Errorf("decode %T: %w", object, err)
	}
	fill(rendered)
	return rendered, nil
}

// fill adds the constant fields to every object within v.
func fill(v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			fill(item)
		}
	case map[string]any:
		kind, _ := v["object"].(string)
		if v["deleted"] != true {
			complete(v, shapes[kind])
		}
		if kind == "invoice" {
			shorten(v["lines"])
		}
		for _, value := range v {
			fill(value)
		}
	}
}

// shorten cuts the list of an invoice's lines: the rest is to be listed by itself.
func shorten(list any) {
	lines, _ := list.(map[string]any)
	if data, _ := lines["data"].([]any); len(data) > shortList {
		lines["data"], lines["has_more"] = data[:shortList], true
	}
}

// complete adds what an object lacks of its shape, at every level.
func complete(v, shape map[string]any) {
	for field, value := range shape {
		present, ok := v[field]
		if !ok {
			v[field] = clone(value)
			continue
		}
		deeper, isMap := value.(map[string]any)
		if object, both := present.(map[string]any); both && isMap {
			complete(object, deeper)
		}
	}
}

// clone keeps answers from sharing the maps of the shapes: expanding changes them.
func clone(v any) any {
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = clone(v[i])
		}
		return list
	case map[string]any:
		m := maps.Clone(v)
		for key := range m {
			m[key] = clone(m[key])
		}
		return m
	}
	return v
}

// page is a list answer; it is also the list within an object.
type page[T any] struct {
	Object  string `json:"object"`
	Data    []T    `json:"data"`
	HasMore bool   `json:"has_more"`
	URL     string `json:"url"`
}

func listOf[T any](url string, data []T) page[T] {
	if data == nil {
		data = []T{} // Stripe sends an empty list, never null
	}
	return page[T]{Object: "list", Data: data, URL: url}
}

// expandable are the fields that hold an id and what they refer to.
var expandable = map[string]func(t *tx, id string) (any, error){
	"charge":                 loader[charge],
	"customer":               loader[customer],
	"default_payment_method": loader[paymentMethod],
	"default_price":          loader[price],
	"invoice":                loader[invoice],
	"latest_charge":          loader[charge],
	"latest_invoice":         loader[invoice],
	"payment_intent":         loader[paymentIntent],
	"payment_method":         loader[paymentMethod],
	"price":                  loader[price],
	"product":                loader[product],
	"released_subscription":  loader[subscription],
	"schedule":               loader[schedule],
	"subscription":           loader[subscription],
}

func loader[T any, P interface {
	*T
	store.Object
}](t *tx, id string) (any, error) {
	return find[T, P](t, id)
}

// expand replaces the ids at path by the objects that they stand for.
func (t *tx) expand(v any, path string) error {
	segments := strings.Split(path, ".")
	if len(segments) > 4+1 { // "data." does not count
		return invalid("expand", "You cannot expand more than 4 levels of a property (%s).", path)
	}
	return t.expandAt(v, segments, path)
}

func (t *tx) expandAt(v any, segments []string, path string) error {
	if len(segments) == 0 {
		return nil
	}
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			if err := t.expandAt(item, segments, path); err != nil {
				return err
			}
		}
	case map[string]any:
		field := segments[0]
		value, ok := v[field]
		if !ok {
			return invalid("expand", "This property cannot be expanded (%s).", path)
		}
		if id, isID := value.(string); isID {
			load := expandable[field]
			if load == nil {
				return invalid("expand", "This property cannot be expanded (%s).", path)
			}
			object, err := load(t, id)
			if err != nil {
				return err
			}
			rendered, err := render(object)
			if err != nil {
				return err
			}
			v[field], value = rendered, rendered
		}
		return t.expandAt(value, segments[1:], path)
	}
	return nil
}
