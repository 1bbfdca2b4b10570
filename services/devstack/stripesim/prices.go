package stripesim

import (
	"slices"
	"strconv"

	"tenure/services/devstack/stripesim/form"
	"tenure/services/devstack/stripesim/money"
)

type price struct {
	ID                string            `json:"id"`
	Object            string            `json:"object"`
	Active            bool              `json:"active"`
	BillingScheme     string            `json:"billing_scheme"`
	Created           int64             `json:"created"`
	Currency          string            `json:"currency"`
	LookupKey         *string           `json:"lookup_key"`
	Metadata          map[string]string `json:"metadata"`
	Nickname          *string           `json:"nickname"`
	Product           string            `json:"product"`
	Recurring         *recurring        `json:"recurring"`
	Tiers             []money.Tier      `json:"tiers,omitempty"`
	TiersMode         *string           `json:"tiers_mode"`
	Type              string            `json:"type"`
	UnitAmount        *int64            `json:"unit_amount"`
	UnitAmountDecimal *string           `json:"unit_amount_decimal"`
}

type recurring struct {
	AggregateUsage  *string `json:"aggregate_usage"`
	Interval        string  `json:"interval"`
	IntervalCount   int64   `json:"interval_count"`
	Meter           *string `json:"meter"`
	TrialPeriodDays *int64  `json:"trial_period_days"`
	UsageType       string  `json:"usage_type"`
}

func (p *price) Key() string  { return p.ID }
func (p *price) Kind() string { return "price" }

func (p *price) Index() []string {
	names := []string{"product=" + p.Product}
	if p.LookupKey != nil {
		names = append(names, "lookup_key="+*p.LookupKey)
	}
	return names
}

func (p *price) metered() bool { return p.Recurring != nil && p.Recurring.UsageType == "metered" }

// amount is what a quantity costs for a whole period.
func (p *price) amount(quantity int64) int64 {
	if p.BillingScheme == "tiered" {
		return money.Tiered(p.Tiers, text(p.TiersMode) == "volume", quantity)
	}
	return money.Times(text(p.UnitAmountDecimal), quantity)
}

func createPrice(c *call) (any, error) {
	p, err := c.readPrice(c.Params)
	if err != nil {
		return nil, err
	}
	if active := c.Bool("active"); active != nil {
		p.Active = *active
	}
	set(c.Params, "nickname", &p.Nickname)
	set(c.Params, "lookup_key", &p.LookupKey)
	take := c.Flag("transfer_lookup_key")
	fresh, err := c.readPriceProduct(p)
	if err != nil {
		return nil, err
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	if err := c.freeLookupKey(p, take); err != nil {
		return nil, err
	}
	if fresh != nil {
		if err := created(c.tx, fresh, "product.created"); err != nil {
			return nil, err
		}
	}
	return p, created(c.tx, p, "price.created")
}

// readPriceProduct answers the product that is to be created with the price, nil
// when the price belongs to one that exists.
func (c *call) readPriceProduct(p *price) (*product, error) {
	if c.Has("product_data") {
		data := c.Sub("product_data")
		fresh := newProduct(c.now, data.String("id"), data.Require("name"))
		merge(data, &fresh.Metadata)
		p.Product = fresh.ID
		return fresh, nil
	}
	id := c.Require("product")
	if err := c.Err(); err != nil {
		return nil, err
	}
	p.Product = id
	_, err := refer[product](c.tx, id, "product")
	return nil, err
}

// freeLookupKey holds a lookup key to one price: it is taken from the other when
// the caller says so, else it is in use.
func (t *tx) freeLookupKey(p *price, transfer bool) error {
	if p.LookupKey == nil {
		return nil
	}
	holders, err := all[price](t, "lookup_key="+*p.LookupKey)
	if err != nil {
		return err
	}
	for _, holder := range holders {
		if holder.ID == p.ID {
			continue
		}
		if !transfer {
			return invalid("lookup_key", "A price (`%s`) already uses that lookup key.", holder.ID)
		}
		holder.LookupKey = nil
		if err := updated(t, holder, "price.updated"); err != nil {
			return err
		}
	}
	return nil
}

// readPrice takes what price_data and a price of its own have in common.
func (c *call) readPrice(p *form.Params) (*price, error) {
	read := &price{
		ID: newID("price"), Object: "price", Active: true, BillingScheme: "per_unit", Created: c.now,
		Currency: p.Require("currency"), Metadata: map[string]string{}, Type: "one_time",
	}
	merge(p, &read.Metadata)
	p.OneOf("tax_behavior", "unspecified", "inclusive", "exclusive")
	if scheme := p.OneOf("billing_scheme", "per_unit", "tiered"); scheme != "" {
		read.BillingScheme = scheme
	}
	readUnitAmount(p, read)
	if read.BillingScheme == "tiered" {
		if err := readTiers(p, read); err != nil {
			return nil, err
		}
	}
	if p.Has("recurring") {
		read.Type = "recurring"
		read.Recurring = readRecurring(p.Sub("recurring"))
		if meter := text(read.Recurring.Meter); meter != "" {
			if _, err := refer[meterDefinition](c.tx, meter, p.Name("recurring")); err != nil {
				return nil, err
			}
		}
	}
	return read, nil
}

func readUnitAmount(p *form.Params, read *price) {
	cents, decimal := p.Int("unit_amount"), p.String("unit_amount_decimal")
	switch {
	case cents != nil && decimal != "":
		p.Complain("unit_amount", "You may only specify one of these parameters: unit_amount, unit_amount_decimal.")
	case cents != nil:
		text := strconv.FormatInt(*cents, 10)
		read.UnitAmount, read.UnitAmountDecimal = cents, &text
	case decimal != "" && !money.Valid(decimal):
		p.Complain("unit_amount_decimal", "Invalid decimal: %s", decimal)
	case decimal != "":
		read.UnitAmountDecimal = &decimal
		if whole, err := strconv.ParseInt(decimal, 10, 64); err == nil {
			read.UnitAmount = &whole
		}
	case read.BillingScheme == "per_unit":
		p.Complain("unit_amount", "Prices require an `unit_amount` or `unit_amount_decimal` parameter to be set.")
	}
}

func readRecurring(p *form.Params) *recurring {
	r := &recurring{Interval: p.Require("interval"), IntervalCount: 1, UsageType: "licensed"}
	p.OneOf("interval", "day", "week", "month", "year")
	if n := p.Int("interval_count"); n != nil && *n > 0 {
		r.IntervalCount = *n
	}
	if kind := p.OneOf("usage_type", "licensed", "metered"); kind != "" {
		r.UsageType = kind
	}
	r.TrialPeriodDays = p.Int("trial_period_days")
	r.Meter = optional(p.String("meter"))
	r.AggregateUsage = optional(p.OneOf("aggregate_usage", "sum", "last_during_period", "last_ever", "max"))
	if r.UsageType == "metered" && r.AggregateUsage == nil && r.Meter == nil {
		sum := "sum"
		r.AggregateUsage = &sum
	}
	return r
}

func readTiers(p *form.Params, read *price) error {
	read.TiersMode = optional(p.OneOf("tiers_mode", "graduated", "volume"))
	for _, item := range p.List("tiers") {
		tier := money.Tier{FlatAmount: item.Int("flat_amount")}
		if end := item.Require("up_to"); end != "inf" {
			tier.UpTo = item.Int("up_to")
		}
		if cents := item.Int("unit_amount"); cents != nil {
			tier.UnitAmountDecimal = strconv.FormatInt(*cents, 10)
		}
		if decimal := item.String("unit_amount_decimal"); decimal != "" {
			tier.UnitAmountDecimal = decimal
		}
		if !money.Valid(tier.UnitAmountDecimal) {
			tier.UnitAmountDecimal = "0"
		}
		read.Tiers = append(read.Tiers, tier)
	}
	if read.TiersMode == nil || len(read.Tiers) == 0 || read.Tiers[len(read.Tiers)-1].UpTo != nil {
		return invalid(p.Name("tiers"), "Tiered prices require `tiers_mode` and tiers of which the last has `up_to=inf`.")
	}
	return nil
}

func updatePrice(c *call) (any, error) {
	p, err := find[price](c.tx, c.id())
	if err != nil {
		return nil, err
	}
	if active := c.Bool("active"); active != nil {
		p.Active = *active
	}
	set(c.Params, "nickname", &p.Nickname)
	set(c.Params, "lookup_key", &p.LookupKey)
	take := c.Flag("transfer_lookup_key")
	merge(c.Params, &p.Metadata)
	if err := c.Err(); err != nil {
		return nil, err
	}
	if err := c.freeLookupKey(p, take); err != nil {
		return nil, err
	}
	return p, updated(c.tx, p, "price.updated")
}

func listPrices(c *call) (any, error) {
	index := ""
	if id := c.String("product"); id != "" {
		index = "product=" + id
	}
	active, currency, kind := c.Bool("active"), c.String("currency"), c.OneOf("type", "one_time", "recurring")
	keys := c.Strings("lookup_keys")
	created := c.within("created")
	return list(c, index, func(p *price) bool {
		return (active == nil || *active == p.Active) && (currency == "" || currency == p.Currency) &&
			(kind == "" || kind == p.Type) && created(p.Created) &&
			(len(keys) == 0 || (p.LookupKey != nil && oneOf(*p.LookupKey, keys)))
	})
}

// oneOf is true for an empty filter.
func oneOf(v string, filter []string) bool { return len(filter) == 0 || slices.Contains(filter, v) }

// plan is the older form of a price, which items and invoice lines still carry.
type plan struct {
	ID             string            `json:"id"`
	Object         string            `json:"object"`
	Active         bool              `json:"active"`
	AggregateUsage *string           `json:"aggregate_usage"`
	Amount         *int64            `json:"amount"`
	AmountDecimal  *string           `json:"amount_decimal"`
	BillingScheme  string            `json:"billing_scheme"`
	Created        int64             `json:"created"`
	Currency       string            `json:"currency"`
	Interval       string            `json:"interval"`
	IntervalCount  int64             `json:"interval_count"`
	Metadata       map[string]string `json:"metadata"`
	Nickname       *string           `json:"nickname"`
	Product        string            `json:"product"`
	UsageType      string            `json:"usage_type"`
}

func planOf(p *price) *plan {
	if p == nil || p.Recurring == nil {
		return nil
	}
	return &plan{
		ID: p.ID, Object: "plan", Active: p.Active, AggregateUsage: p.Recurring.AggregateUsage,
		Amount: p.UnitAmount, AmountDecimal: p.UnitAmountDecimal, BillingScheme: p.BillingScheme,
		Created: p.Created, Currency: p.Currency, Interval: p.Recurring.Interval,
		IntervalCount: p.Recurring.IntervalCount, Metadata: p.Metadata, Nickname: p.Nickname,
		Product: p.Product, UsageType: p.Recurring.UsageType,
	}
}
