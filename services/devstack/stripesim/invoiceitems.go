package stripesim

import (
	"strconv"

	"tenure/services/devstack/stripesim/form"
	"tenure/services/devstack/stripesim/money"
	"tenure/services/devstack/stripesim/store"
)

// invoiceItem is a charge or credit that waits for an invoice, or is on one.
type invoiceItem struct {
	ID                string            `json:"id"`
	Object            string            `json:"object"`
	Amount            int64             `json:"amount"`
	Currency          string            `json:"currency"`
	Customer          string            `json:"customer"`
	Date              int64             `json:"date"`
	Description       *string           `json:"description"`
	Discountable      bool              `json:"discountable"`
	Invoice           *string           `json:"invoice"`
	Metadata          map[string]string `json:"metadata"`
	Period            period            `json:"period"`
	Plan              *plan             `json:"plan"`
	Price             *price            `json:"price"`
	Proration         bool              `json:"proration"`
	Quantity          int64             `json:"quantity"`
	Subscription      *string           `json:"subscription"`
	SubscriptionItem  *string           `json:"subscription_item,omitempty"`
	UnitAmount        *int64            `json:"unit_amount"`
	UnitAmountDecimal *string           `json:"unit_amount_decimal"`
}

func (i *invoiceItem) Key() string  { return i.ID }
func (i *invoiceItem) Kind() string { return "invoiceitem" }

func (i *invoiceItem) Index() []string {
	names := []string{"customer=" + i.Customer}
	if i.Invoice == nil {
		return append(names, "pending="+i.Customer)
	}
	return append(names, "invoice="+*i.Invoice)
}

func (i *invoiceItem) line() *line {
	quantity := i.Quantity
	return &line{
		ID: newID("il"), Object: "line_item", Amount: i.Amount, AmountExcludingTax: i.Amount, Currency: i.Currency,
		Description: i.Description, Discountable: i.Discountable, InvoiceItem: &i.ID, Metadata: i.Metadata,
		Period: i.Period, Plan: i.Plan, Price: i.Price, Proration: i.Proration, Quantity: &quantity,
		Subscription: i.Subscription, SubscriptionItem: i.SubscriptionItem, Type: "invoiceitem",
		UnitAmountExcludingTax: i.UnitAmountDecimal,
	}
}

func (t *tx) newInvoiceItem(customerID, currency string) *invoiceItem {
	return &invoiceItem{
		ID: newID("ii"), Object: "invoiceitem", Currency: currency, Customer: customerID, Date: t.now,
		Discountable: true, Metadata: map[string]string{}, Period: period{Start: t.now, End: t.now}, Quantity: 1,
	}
}

// pendingItems are those that the next invoice of the subscription takes: its own
// and those of no subscription.
func (t *tx) pendingItems(customerID, subscriptionID string) ([]*invoiceItem, error) {
	waiting, err := all[invoiceItem](t, "pending="+customerID)
	if err != nil {
		return nil, err
	}
	var items []*invoiceItem
	for _, item := range waiting {
		if item.Subscription == nil || *item.Subscription == subscriptionID {
			items = append(items, item)
		}
	}
	return items, nil
}

func createInvoiceItem(c *call) (any, error) {
	cus, err := refer[customer](c.tx, c.Require("customer"), "customer")
	if err != nil {
		return nil, err
	}
	item := c.newInvoiceItem(cus.ID, c.String("currency"))
	if err := c.readAmount(c.Params, item); err != nil {
		return nil, err
	}
	set(c.Params, "description", &item.Description)
	merge(c.Params, &item.Metadata)
	if discountable := c.Bool("discountable"); discountable != nil {
		item.Discountable = *discountable
	}
	if c.Has("period") {
		of := c.Sub("period")
		if start, end := of.Int("start"), of.Int("end"); start != nil && end != nil {
			item.Period = period{Start: *start, End: *end}
		}
	}
	item.Subscription = optional(c.String("subscription"))
	if item.Subscription != nil {
		if _, err := refer[subscription](c.tx, *item.Subscription, "subscription"); err != nil {
			return nil, err
		}
	}
	invoiceID := c.String("invoice")
	if item.Currency == "" {
		item.Currency = text(cus.Currency)
	}
	if item.Currency == "" {
		c.Complain("currency", "Missing required param: currency.")
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	if invoiceID != "" {
		if err := c.addToDraft(item, invoiceID); err != nil {
			return nil, err
		}
	}
	return item, created(c.tx, item, "invoiceitem.created")
}

func (t *tx) addToDraft(item *invoiceItem, id string) error {
	inv, err := refer[invoice](t, id, "invoice")
	if err != nil {
		return err
	}
	if inv.Status != invoiceDraft || inv.Customer != item.Customer {
		return invalid("invoice", "The invoice `%s` is no longer editable, or belongs to another customer.", id)
	}
	item.Invoice = &inv.ID
	inv.Lines.Data = append(inv.Lines.Data, item.line())
	inv.sum()
	return updated(t, inv, "invoice.updated")
}

// readAmount takes amount, or a unit amount or a price times quantity.
func (t *tx) readAmount(p *form.Params, item *invoiceItem) error {
	if quantity := p.Int("quantity"); quantity != nil {
		item.Quantity = *quantity
	}
	amount, decimal, id := p.Int("amount"), p.String("unit_amount_decimal"), p.String("price")
	if cents := p.Int("unit_amount"); cents != nil {
		decimal = strconv.FormatInt(*cents, 10)
	}
	switch {
	case id != "":
		chosen, err := refer[price](t, id, p.Name("price"))
		if err != nil {
			return err
		}
		item.Price, item.Currency, item.UnitAmount = chosen, chosen.Currency, chosen.UnitAmount
		decimal = text(chosen.UnitAmountDecimal)
		item.Amount = chosen.amount(item.Quantity)
	case amount != nil:
		item.Amount, item.UnitAmount = *amount, amount
		decimal = strconv.FormatInt(*amount, 10)
	case money.Valid(decimal):
		item.Amount = money.Times(decimal, item.Quantity)
	default:
		p.Complain("amount", "You must pass one of amount, unit_amount, unit_amount_decimal or price.")
	}
	item.UnitAmountDecimal = &decimal
	return nil
}

// readExtraItems takes add_invoice_items: one-time prices for the next invoice.
func (c *call) readExtraItems(sub *subscription) ([]*invoiceItem, error) {
	var items []*invoiceItem
	for _, p := range c.List("add_invoice_items") {
		item := c.newInvoiceItem(sub.Customer, sub.Currency)
		item.Subscription = &sub.ID
		if err := c.readAmount(p, item); err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

func updateInvoiceItem(c *call) (any, error) {
	item, err := find[invoiceItem](c.tx, c.id())
	if err != nil {
		return nil, err
	}
	if item.Invoice != nil {
		return nil, invalid("id", "Attempting to modify an invoice item that is on an invoice: %s", *item.Invoice)
	}
	if c.Has("amount") || c.Has("unit_amount") || c.Has("unit_amount_decimal") || c.Has("quantity") {
		if err := c.readAmount(c.Params, item); err != nil {
			return nil, err
		}
	}
	set(c.Params, "description", &item.Description)
	merge(c.Params, &item.Metadata)
	if err := c.Err(); err != nil {
		return nil, err
	}
	return item, updated(c.tx, item, "invoiceitem.updated")
}

func deleteInvoiceItem(c *call) (any, error) {
	item, err := find[invoiceItem](c.tx, c.id())
	if err != nil {
		return nil, err
	}
	if item.Invoice != nil {
		inv, err := store.Get[invoice](c.Tx, *item.Invoice)
		if err != nil {
			return nil, err
		}
		if inv.Status != invoiceDraft {
			return nil, invalid("id", "Attempting to delete an invoice item that is on an invoice that is no longer a draft: %s", inv.ID)
		}
		inv.drop(item.ID)
		if err := updated(c.tx, inv, "invoice.updated"); err != nil {
			return nil, err
		}
	}
	if err := c.Delete(item); err != nil {
		return nil, err
	}
	return deleted{ID: item.ID, Object: "invoiceitem", Deleted: true}, c.emit("invoiceitem.deleted", item, nil)
}

// drop takes the line of an item from a draft.
func (i *invoice) drop(itemID string) {
	kept := []*line{}
	for _, l := range i.Lines.Data {
		if text(l.InvoiceItem) != itemID {
			kept = append(kept, l)
		}
	}
	i.Lines.Data = kept
	i.sum()
}

func listInvoiceItems(c *call) (any, error) {
	index := ""
	if id := c.String("customer"); id != "" {
		index = "customer=" + id
	}
	if id := c.String("invoice"); id != "" {
		index = "invoice=" + id
	}
	pending := c.Bool("pending")
	created := c.within("created")
	return list(c, index, func(i *invoiceItem) bool {
		return (pending == nil || *pending == (i.Invoice == nil)) && created(i.Date)
	})
}
