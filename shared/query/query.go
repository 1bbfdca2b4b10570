// Package query is what one service may ask another: read-only, over the bus, answered at once or not at all. A query is
// for what a person wants to see; nothing that is decided may wait for one.
package query

import "time"

// BillingQuote asks billing what a change of plan would cost, in Stripe's own figures.
const BillingQuote = "tenure.queries.billing.quote"

// QuoteRequest is what is to be changed.
type QuoteRequest struct {
	Tenant     string `json:"tenant"`
	Generation int64  `json:"generation"`
	// Plan that the tenant would be on; the one that it is on asks what the next invoice is.
	Plan string `json:"plan"`
	// AtPeriodEnd: the change waits for the end of the period that is paid for.
	AtPeriodEnd bool `json:"at_period_end,omitempty"`
	// Cancel: nothing is to be paid any more after the change, as when a tenant is deleted.
	Cancel bool `json:"cancel,omitempty"`
	// Stays: the tenant comes back, so that an end of its subscription that is ahead does not come.
	Stays bool `json:"stays,omitempty"`
	// Coupon is the id of one at Stripe that the tenant would come back with.
	Coupon string `json:"coupon,omitempty"`
}

// Quote is Stripe's answer, in cents.
type Quote struct {
	Currency string `json:"currency"`
	// DueNowCents is charged at once; negative: credited to the customer's balance.
	DueNowCents int64 `json:"due_now_cents"`
	// NextCents is the invoice at NextAt, after the credit that is there by then.
	NextCents int64      `json:"next_cents"`
	NextAt    *time.Time `json:"next_at,omitempty"`
	Lines     []Line     `json:"lines"`
}

// Line is one line of the invoice that would be made.
type Line struct {
	Description string `json:"description"`
	AmountCents int64  `json:"amount_cents"`
	Proration   bool   `json:"proration,omitempty"`
}

// DeletionInventory asks deletion what an erasure of everything of a tenant would find, store by store.
const DeletionInventory = "tenure.queries.deletion.inventory"

// InventoryRequest names the tenant.
type InventoryRequest struct {
	Tenant string `json:"tenant"`
}

// Inventory is what the stores hold now.
type Inventory struct {
	Stores []StoreHolding `json:"stores"`
}

// StoreHolding is one store's share of an Inventory.
type StoreHolding struct {
	Store   string   `json:"store"`
	Kind    string   `json:"kind,omitempty"`
	Targets []string `json:"targets"`
	Rows    int64    `json:"rows"`
	// Bytes is an estimate.
	Bytes int64 `json:"bytes"`
	// Class of its data in the retention policy; when that keeps it longer than the tenant, KeepDays are counted from the
	// purge and Basis says why.
	Class    string `json:"class,omitempty"`
	KeepDays int    `json:"keep_days,omitempty"`
	Basis    string `json:"basis,omitempty"`
	// Error is why the store could not be asked.
	Error string `json:"error,omitempty"`
}
