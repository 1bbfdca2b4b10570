package stripesim

import (
	"maps"

	"tenure/services/devstack/stripesim/form"
)

// set takes a text when it was sent; the empty text clears it.
func set(p *form.Params, name string, field **string) {
	if p.Has(name) {
		*field = optional(p.String(name))
	}
}

// optional is nil for "".
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// text is "" for nil.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// merge adds the metadata that were sent: an empty value removes a key, empty
// metadata remove all.
func merge(p *form.Params, metadata *map[string]string) {
	if p.Cleared("metadata") {
		p.String("metadata")
		*metadata = map[string]string{}
		return
	}
	*metadata = maps.Clone(*metadata)
	if *metadata == nil {
		*metadata = map[string]string{}
	}
	for key, value := range p.Map("metadata") {
		if value == "" {
			delete(*metadata, key)
		} else {
			(*metadata)[key] = value
		}
	}
}

func readAddress(p *form.Params) *address {
	if p.Cleared("address") {
		p.String("address")
		return nil
	}
	a, sub := &address{}, p.Sub("address")
	set(sub, "city", &a.City)
	set(sub, "country", &a.Country)
	set(sub, "line1", &a.Line1)
	set(sub, "line2", &a.Line2)
	set(sub, "postal_code", &a.PostalCode)
	set(sub, "state", &a.State)
	return a
}
