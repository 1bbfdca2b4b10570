package stripesim

import (
	"tenure/services/devstack/stripesim/store"
)

type customer struct {
	ID                  string            `json:"id"`
	Object              string            `json:"object"`
	Address             *address          `json:"address"`
	Balance             int64             `json:"balance"` // negative: credit for the next invoices
	Created             int64             `json:"created"`
	Currency            *string           `json:"currency"`
	Delinquent          bool              `json:"delinquent"`
	Description         *string           `json:"description"`
	Discount            *discount         `json:"discount"`
	Email               *string           `json:"email"`
	InvoicePrefix       string            `json:"invoice_prefix"`
	InvoiceSettings     invoiceSettings   `json:"invoice_settings"`
	Metadata            map[string]string `json:"metadata"`
	Name                *string           `json:"name"`
	NextInvoiceSequence int64             `json:"next_invoice_sequence"`
	Phone               *string           `json:"phone"`
	PreferredLocales    []string          `json:"preferred_locales"`
}

type invoiceSettings struct {
	DefaultPaymentMethod *string `json:"default_payment_method"`
}

type address struct {
	City       *string `json:"city"`
	Country    *string `json:"country"`
	Line1      *string `json:"line1"`
	Line2      *string `json:"line2"`
	PostalCode *string `json:"postal_code"`
	State      *string `json:"state"`
}

func (c *customer) Key() string  { return c.ID }
func (c *customer) Kind() string { return "customer" }

func (c *customer) Index() []string {
	var names []string
	if tenant := c.tenant(); tenant != "" {
		names = append(names, "tenant="+tenant)
	}
	if c.Email != nil {
		names = append(names, "email="+*c.Email)
	}
	return names
}

// tenant is whose customer this is, "" when the metadata do not tell.
func (c *customer) tenant() string {
	if tenant := c.Metadata["tenant_id"]; tenant != "" {
		return tenant
	}
	return c.Metadata["tenant"]
}

func createCustomer(c *call) (any, error) {
	id := newID("cus")
	cus := &customer{
		ID: id, Object: "customer", Created: c.now, Metadata: map[string]string{},
		InvoicePrefix: id[len(id)-8:], NextInvoiceSequence: 1, PreferredLocales: []string{},
	}
	if err := c.readCustomer(cus); err != nil {
		return nil, err
	}
	given := c.String("payment_method")
	if err := c.Err(); err != nil {
		return nil, err
	}
	if given == "" {
		given = "pm_card_visa" // a new customer's card works unless told otherwise
	}
	if err := created(c.tx, cus, "customer.created"); err != nil {
		return nil, err
	}
	card, err := c.attach(given, cus)
	if err != nil {
		return nil, err
	}
	if cus.InvoiceSettings.DefaultPaymentMethod == nil {
		cus.InvoiceSettings.DefaultPaymentMethod = &card.ID
	}
	return cus, store.Put(c.Tx, cus)
}

func updateCustomer(c *call) (any, error) {
	cus, err := find[customer](c.tx, c.id())
	if err != nil {
		return nil, err
	}
	if err := c.readCustomer(cus); err != nil {
		return nil, err
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	return cus, updated(c.tx, cus, "customer.updated")
}

// readCustomer takes what may be set at creation and changed later.
func (c *call) readCustomer(cus *customer) error {
	set(c.Params, "description", &cus.Description)
	set(c.Params, "email", &cus.Email)
	set(c.Params, "name", &cus.Name)
	set(c.Params, "phone", &cus.Phone)
	merge(c.Params, &cus.Metadata)
	if c.Has("address") {
		cus.Address = readAddress(c.Params)
	}
	if c.Has("preferred_locales") {
		cus.PreferredLocales = c.Strings("preferred_locales")
	}
	if balance := c.Int("balance"); balance != nil {
		cus.Balance = *balance
	}
	settings := c.Sub("invoice_settings")
	if id := settings.String("default_payment_method"); id != "" {
		card, err := refer[paymentMethod](c.tx, id, settings.Name("default_payment_method"))
		if err != nil {
			return err
		}
		if card.Customer == nil || *card.Customer != cus.ID {
			return invalid(settings.Name("default_payment_method"),
				"The customer does not have a payment method with the ID %s. The payment method must be attached to the customer.", id)
		}
	}
	set(settings, "default_payment_method", &cus.InvoiceSettings.DefaultPaymentMethod)
	d, err := c.readDiscount(cus.Discount, cus.ID, "")
	cus.Discount = d
	return err
}

func deleteCustomer(c *call) (any, error) {
	cus, err := find[customer](c.tx, c.id())
	if err != nil {
		return nil, err
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	if err := c.dropSubscriptions(cus); err != nil {
		return nil, err
	}
	if err := c.dropCards(cus); err != nil {
		return nil, err
	}
	if err := c.Delete(cus); err != nil {
		return nil, err
	}
	if err := c.SetValue(deletedKey(cus.ID), true); err != nil {
		return nil, err
	}
	if err := c.rememberOf(cus); err != nil {
		return nil, err
	}
	gone := deleted{ID: cus.ID, Object: "customer", Deleted: true}
	return gone, c.emit("customer.deleted", cus, nil)
}

func (t *tx) dropSubscriptions(cus *customer) error {
	subs, err := all[subscription](t, "customer="+cus.ID)
	if err != nil {
		return err
	}
	for _, sub := range subs {
		if sub.ended() {
			continue
		}
		if err := t.cancelNow(sub, cancelOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// dropCards removes the customer's cards with the names and addresses on them.
func (t *tx) dropCards(cus *customer) error {
	cards, err := all[paymentMethod](t, "customer="+cus.ID)
	if err != nil {
		return err
	}
	for _, card := range cards {
		if err := t.Delete(card); err != nil {
			return err
		}
	}
	return nil
}

// formerKey is where a tenant's deleted customers are kept: what they paid still
// counts.
func formerKey(tenant string) string { return "former customers of " + tenant }

func (t *tx) rememberOf(cus *customer) error {
	var ids []string
	if err := t.Value(formerKey(cus.tenant()), &ids); err != nil {
		return err
	}
	return t.SetValue(formerKey(cus.tenant()), append(ids, cus.ID))
}

// deletedKey is where a deleted customer leaves its id: Stripe still answers for it.
func deletedKey(id string) string { return "deleted " + id }

func retrieveCustomer(c *call) (any, error) {
	if err := c.Err(); err != nil {
		return nil, err
	}
	var gone bool
	if err := c.tx.Value(deletedKey(c.id()), &gone); err != nil {
		return nil, err
	}
	if gone {
		return deleted{ID: c.id(), Object: "customer", Deleted: true}, nil
	}
	return find[customer](c.tx, c.id())
}

func listCustomers(c *call) (any, error) {
	index := ""
	if email := c.String("email"); email != "" {
		index = "email=" + email
	}
	created := c.within("created")
	return list(c, index, func(cus *customer) bool { return created(cus.Created) })
}
