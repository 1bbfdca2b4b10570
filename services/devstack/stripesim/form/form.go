// Package form reads Stripe's form encoding: nested brackets, lists by index
// ("items[0][price]") or by order ("expand[]").
//
// A Params remembers which parameters were asked for. What nobody asked for is
// an error, as at Stripe: a request that sends a parameter which the simulator
// does not know must fail loudly instead of seeming to work.
package form

import (
	"fmt"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Error is a parameter that cannot be accepted. Param is its full name as it
// was sent; Code is Stripe's error code.
type Error struct {
	Code    string
	Param   string
	Message string
}

func (e *Error) Error() string { return e.Message }

// Params is a level of a parsed request. The zero level (a parameter that was
// not sent) answers every question with "absent". It is not safe for
// concurrent use.
type Params struct {
	name     string // full name, for messages
	value    string
	sent     bool
	read     bool
	children map[string]*Params
	first    *error // shared by all levels: the first complaint
}

// Parse builds the tree of all values; later values of a scalar win.
func Parse(values url.Values) (*Params, error) {
	root := &Params{sent: true, read: true, first: new(error)}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	sort.Strings(names) // the first complaint must not depend on map order
	for _, name := range names {
		path, err := split(name)
		if err != nil {
			return nil, err
		}
		for i, v := range values[name] {
			root.set(path, v, i)
		}
	}
	return root, nil
}

// split cuts "items[0][price]" into its segments.
func split(name string) ([]string, error) {
	head, rest, nested := strings.Cut(name, "[")
	path := []string{head}
	for nested {
		segment, after, ok := strings.Cut(rest, "]")
		if !ok || (after != "" && after[0] != '[') {
			return nil, &Error{Code: "parameter_unknown", Param: name, Message: "Invalid parameter name: " + name}
		}
		path = append(path, segment)
		if after == "" {
			break
		}
		rest = after[1:]
	}
	return path, nil
}

func (p *Params) set(path []string, value string, nth int) {
	for _, segment := range path {
		if segment == "" { // "expand[]": the place in the request is the index
			segment = strconv.Itoa(nth)
		}
		p = p.child(segment)
		p.sent = true
	}
	p.value = value
}

func (p *Params) child(name string) *Params {
	if c, ok := p.children[name]; ok {
		return c
	}
	full := name
	if p.name != "" {
		full = p.name + "[" + name + "]"
	}
	c := &Params{name: full, first: p.first}
	if p.children == nil {
		p.children = map[string]*Params{}
	}
	p.children[name] = c
	return c
}

// Sub is the level below name; it is never nil.
func (p *Params) Sub(name string) *Params {
	c := p.child(name)
	c.read = true
	return c
}

// Has reports whether name was sent, even as an empty value.
func (p *Params) Has(name string) bool { return p.children[name] != nil && p.children[name].sent }

// Names are the parameters of this level, in no order.
func (p *Params) Names() []string {
	var names []string
	for name, c := range p.children {
		if c.sent {
			names = append(names, name)
		}
	}
	return names
}

// Cleared reports whether name was sent as the empty string, Stripe's way to
// unset a value.
func (p *Params) Cleared(name string) bool {
	c := p.children[name]
	return c != nil && c.sent && c.value == "" && len(c.children) == 0
}

// Name is the full name of this level, for error messages.
func (p *Params) Name(name string) string { return p.child(name).name }

// String is "" when name was not sent.
func (p *Params) String(name string) string {
	c := p.Sub(name)
	if len(c.children) > 0 {
		p.complain("parameter_invalid_string", c.name, "Invalid string: "+c.name)
	}
	return c.value
}

// Require is String and complains when name is missing or empty.
func (p *Params) Require(name string) string {
	v := p.String(name)
	if v == "" {
		p.complain("parameter_missing", p.Name(name), "Missing required param: "+p.Name(name)+".")
	}
	return v
}

// OneOf is String and complains about anything but "" and the allowed values.
func (p *Params) OneOf(name string, allowed ...string) string {
	v := p.String(name)
	if v != "" && !slices.Contains(allowed, v) {
		p.complain("", p.Name(name), fmt.Sprintf("Invalid %s: must be one of %s", p.Name(name), strings.Join(allowed, ", ")))
	}
	return v
}

// Int is nil when name was not sent or was cleared.
func (p *Params) Int(name string) *int64 {
	v := p.String(name)
	if v == "" {
		return nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		p.complain("parameter_invalid_integer", p.Name(name), "Invalid integer: "+v)
		return nil
	}
	return &n
}

// Float is nil when name was not sent or was cleared.
func (p *Params) Float(name string) *float64 {
	v := p.String(name)
	if v == "" {
		return nil
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil {
		p.complain("parameter_invalid_decimal", p.Name(name), "Invalid decimal: "+v)
		return nil
	}
	return &f
}

// Bool is nil when name was not sent or was cleared.
func (p *Params) Bool(name string) *bool {
	v := p.String(name)
	switch v {
	case "":
		return nil
	case "true", "false":
		b := v == "true"
		return &b
	}
	p.complain("parameter_invalid_boolean", p.Name(name), "Invalid boolean: "+v)
	return nil
}

// Flag is Bool with false for a value that was not sent.
func (p *Params) Flag(name string) bool {
	b := p.Bool(name)
	return b != nil && *b
}

// Map reads every value one level below name: metadata.
func (p *Params) Map(name string) map[string]string {
	c := p.Sub(name)
	if len(c.children) == 0 {
		return nil
	}
	m := make(map[string]string, len(c.children))
	for key := range c.children {
		m[key] = c.String(key)
	}
	return m
}

// List is the levels below name in the order of their indexes.
func (p *Params) List(name string) []*Params {
	c := p.Sub(name)
	keys := make([]string, 0, len(c.children))
	for key := range c.children {
		if _, err := strconv.Atoi(key); err != nil {
			p.complain("parameter_invalid_array", c.name, "Invalid array: "+c.name)
			return nil
		}
		keys = append(keys, key)
	}
	sort.Slice(keys, func(i, j int) bool {
		a, _ := strconv.Atoi(keys[i])
		b, _ := strconv.Atoi(keys[j])
		return a < b
	})
	list := make([]*Params, len(keys))
	for i, key := range keys {
		list[i] = c.Sub(key)
	}
	return list
}

// Strings is List for plain values.
func (p *Params) Strings(name string) []string {
	var values []string
	for _, item := range p.List(name) {
		values = append(values, item.value)
	}
	return values
}

// Value is this level's own value: of a list of plain values, one element.
func (p *Params) Value() string { return p.value }

// Complain records a parameter as unacceptable; the first complaint wins.
func (p *Params) Complain(name, format string, args ...any) {
	p.complain("", p.Name(name), fmt.Sprintf(format, args...))
}

func (p *Params) complain(code, param, message string) {
	if *p.first == nil {
		*p.first = &Error{Code: code, Param: param, Message: message}
	}
}

// Invalid is the first complaint of the parameters read so far.
func (p *Params) Invalid() error { return *p.first }

// Err is the first complaint, or else the first parameter that nobody has
// asked for. Call it after all parameters were read and before any effect.
func (p *Params) Err() error {
	if *p.first != nil {
		return *p.first
	}
	if unknown := p.unread(); unknown != "" {
		return &Error{
			Code: "parameter_unknown", Param: unknown,
			Message: "Received unknown parameter: " + unknown,
		}
	}
	return nil
}

func (p *Params) unread() string {
	names := make([]string, 0, len(p.children))
	for name := range p.children {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		c := p.children[name]
		if !c.sent {
			continue
		}
		if !c.read {
			return c.name
		}
		if found := c.unread(); found != "" {
			return found
		}
	}
	return ""
}
