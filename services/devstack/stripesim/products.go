package stripesim

import (
	"errors"

	"tenure/services/devstack/stripesim/store"
)

type product struct {
	ID                  string            `json:"id"`
	Object              string            `json:"object"`
	Active              bool              `json:"active"`
	Created             int64             `json:"created"`
	DefaultPrice        *string           `json:"default_price"`
	Description         *string           `json:"description"`
	Metadata            map[string]string `json:"metadata"`
	Name                string            `json:"name"`
	StatementDescriptor *string           `json:"statement_descriptor"`
	UnitLabel           *string           `json:"unit_label"`
	Updated             int64             `json:"updated"`
	URL                 *string           `json:"url"`
}

func (p *product) Key() string     { return p.ID }
func (p *product) Kind() string    { return "product" }
func (p *product) Index() []string { return nil }

func createProduct(c *call) (any, error) {
	p := newProduct(c.now, c.String("id"), c.Require("name"))
	c.readProduct(p)
	standard := c.Has("default_price_data")
	data := c.Sub("default_price_data")
	var first *price
	if standard {
		var err error
		if first, err = c.readPrice(data); err != nil {
			return nil, err
		}
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	switch _, err := store.Get[product](c.Tx, p.ID); {
	case err == nil:
		e := invalid("id", "Product already exists.")
		e.Code = "resource_already_exists"
		return nil, e
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	if first != nil {
		first.Product = p.ID
		p.DefaultPrice = &first.ID
	}
	if err := created(c.tx, p, "product.created"); err != nil || first == nil {
		return p, err
	}
	return p, created(c.tx, first, "price.created")
}

func newProduct(now int64, id, name string) *product {
	if id == "" {
		id = newID("prod")
	}
	return &product{
		ID: id, Object: "product", Active: true, Created: now, Updated: now,
		Metadata: map[string]string{}, Name: name,
	}
}

func updateProduct(c *call) (any, error) {
	p, err := find[product](c.tx, c.id())
	if err != nil {
		return nil, err
	}
	if name := c.String("name"); name != "" {
		p.Name = name
	}
	set(c.Params, "default_price", &p.DefaultPrice)
	c.readProduct(p)
	if err := c.Err(); err != nil {
		return nil, err
	}
	p.Updated = c.now
	return p, updated(c.tx, p, "product.updated")
}

func (c *call) readProduct(p *product) {
	if active := c.Bool("active"); active != nil {
		p.Active = *active
	}
	set(c.Params, "description", &p.Description)
	set(c.Params, "statement_descriptor", &p.StatementDescriptor)
	set(c.Params, "unit_label", &p.UnitLabel)
	set(c.Params, "url", &p.URL)
	merge(c.Params, &p.Metadata)
}

func deleteProduct(c *call) (any, error) {
	p, err := find[product](c.tx, c.id())
	if err != nil {
		return nil, err
	}
	prices, err := all[price](c.tx, "product="+p.ID)
	if err != nil {
		return nil, err
	}
	if len(prices) > 0 {
		return nil, invalid("id", "This product cannot be deleted because it has one or more user-created prices.")
	}
	if err := c.Delete(p); err != nil {
		return nil, err
	}
	gone := deleted{ID: p.ID, Object: "product", Deleted: true}
	return gone, c.emit("product.deleted", p, nil)
}

func listProducts(c *call) (any, error) {
	active := c.Bool("active")
	ids := c.Strings("ids")
	created := c.within("created")
	return list(c, "", func(p *product) bool {
		return (active == nil || *active == p.Active) && oneOf(p.ID, ids) && created(p.Created)
	})
}
