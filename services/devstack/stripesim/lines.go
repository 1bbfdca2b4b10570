package stripesim

import (
	"fmt"
	"strconv"
	"time"

	"tenure/services/devstack/stripesim/money"
	"tenure/services/devstack/stripesim/store"
)

// line is one line of an invoice.
type line struct {
	ID                     string            `json:"id"`
	Object                 string            `json:"object"`
	Amount                 int64             `json:"amount"`
	AmountExcludingTax     int64             `json:"amount_excluding_tax"`
	Currency               string            `json:"currency"`
	Description            *string           `json:"description"`
	Discountable           bool              `json:"discountable"`
	InvoiceItem            *string           `json:"invoice_item,omitempty"`
	Metadata               map[string]string `json:"metadata"`
	Period                 period            `json:"period"`
	Plan                   *plan             `json:"plan"`
	Price                  *price            `json:"price"`
	Proration              bool              `json:"proration"`
	ProrationDetails       prorationDetails  `json:"proration_details"`
	Quantity               *int64            `json:"quantity"`
	Subscription           *string           `json:"subscription"`
	SubscriptionItem       *string           `json:"subscription_item,omitempty"`
	Type                   string            `json:"type"` // invoiceitem or subscription
	UnitAmountExcludingTax *string           `json:"unit_amount_excluding_tax"`
}

func (l *line) key() string { return l.ID }

type period struct {
	End   int64 `json:"end"`
	Start int64 `json:"start"`
}

type prorationDetails struct {
	CreditedItems *creditedItems `json:"credited_items"`
}

// creditedItems says which line a credit gives money back of.
type creditedItems struct {
	Invoice          string   `json:"invoice"`
	InvoiceLineItems []string `json:"invoice_line_items"`
}

// licensedLines charge the current period of a subscription in advance.
func (t *tx) licensedLines(sub *subscription) []*line {
	var lines []*line
	for _, item := range sub.Items.Data {
		if item.Price.metered() {
			continue
		}
		l := t.itemLine(sub, item, period{Start: sub.CurrentPeriodStart, End: sub.CurrentPeriodEnd})
		l.Quantity = item.Quantity
		l.Amount = item.amount()
		switch {
		case sub.Status == statusTrialing || (sub.TrialEnd != nil && *sub.TrialEnd > t.now):
			l.Amount = 0
			l.Description = optional("Trial period for " + t.productName(item.Price))
		case sub.BillingCycleAnchor > sub.CurrentPeriodStart:
			// The first period ends at an anchor in the future: it is shorter.
			unit, count := sub.interval()
			whole := money.PeriodEnd(sub.CurrentPeriodStart, unit, count, sub.CurrentPeriodStart) - sub.CurrentPeriodStart
			l.Amount = money.Prorate(l.Amount, 0, whole, whole-(sub.CurrentPeriodEnd-sub.CurrentPeriodStart))
			l.Proration = true
			fallthrough
		default:
			l.Description = optional(t.describe(*item.Quantity, item.Price))
		}
		l.AmountExcludingTax = l.Amount
		lines = append(lines, l)
	}
	return lines
}

// meteredLines charge the period that has ended, by what was used in it.
func (t *tx) meteredLines(sub *subscription, of period) ([]*line, error) {
	var lines []*line
	for _, item := range sub.Items.Data {
		if !item.Price.metered() {
			continue
		}
		l := t.itemLine(sub, item, of)
		if err := t.measure(l, sub); err != nil {
			return nil, err
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// measure sets a metered line to what has been used by now. What was used in a
// trial is free.
func (t *tx) measure(l *line, sub *subscription) error {
	used, err := t.used(l, sub.Customer)
	if err != nil {
		return err
	}
	l.Quantity, l.Amount = &used, l.Price.amount(used)
	l.Description = optional(t.describe(used, l.Price))
	if sub.TrialEnd != nil && l.Period.End <= *sub.TrialEnd {
		l.Amount, l.Description = 0, optional("Trial period for "+t.productName(l.Price))
	}
	l.AmountExcludingTax = l.Amount
	return nil
}

// countUsage brings the metered lines of a draft up to date: what was reported
// late still counts.
func (t *tx) countUsage(inv *invoice, sub *subscription) error {
	if sub == nil {
		return nil
	}
	for _, l := range inv.Lines.Data {
		if l.Price == nil || !l.Price.metered() || l.SubscriptionItem == nil {
			continue
		}
		if err := t.measure(l, sub); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) itemLine(sub *subscription, item *subscriptionItem, of period) *line {
	return &line{
		ID: newID("il"), Object: "line_item", Currency: item.Price.Currency, Discountable: true,
		Metadata: sub.Metadata, Period: of, Plan: item.Plan, Price: item.Price, Subscription: &sub.ID,
		SubscriptionItem: &item.ID, Type: "subscription", UnitAmountExcludingTax: item.Price.UnitAmountDecimal,
	}
}

// prorations credit what is left of the old items' time and charge the same time
// of the new ones, by the second. Items that stay as they are cost nothing.
func (t *tx) prorations(before, after *subscription, at int64) []*invoiceItem {
	var items []*invoiceItem
	whole := period{Start: before.CurrentPeriodStart, End: before.CurrentPeriodEnd}
	reset := after.CurrentPeriodStart != before.CurrentPeriodStart || after.CurrentPeriodEnd != before.CurrentPeriodEnd
	for _, old := range before.Items.Data {
		kept := after.item(old.ID)
		if old.Quantity != nil && (reset || kept == nil || !old.sameCharge(kept)) {
			items = append(items, t.proration(before, old, whole, at, -1))
		}
	}
	if reset {
		return items // the new items are charged for the whole of their new period
	}
	for _, item := range after.Items.Data {
		old := before.item(item.ID)
		if item.Quantity != nil && (old == nil || !old.sameCharge(item)) {
			items = append(items, t.proration(after, item, whole, at, 1))
		}
	}
	return items
}

func (t *tx) proration(sub *subscription, item *subscriptionItem, whole period, at, sign int64) *invoiceItem {
	full := item.amount()
	if d := sub.Discount; d.holds(at) && d.Coupon.PercentOff != nil {
		full -= d.Coupon.off(full)
	}
	when := time.Unix(at, 0).UTC().Format("02 Jan 2006")
	text := "Remaining time on "
	if sign < 0 {
		text = "Unused time on "
	}
	name := t.productName(item.Price)
	if *item.Quantity != 1 {
		name = strconv.FormatInt(*item.Quantity, 10) + " × " + name
	}
	made := t.newInvoiceItem(sub.Customer, item.Price.Currency)
	made.Amount = sign * money.Prorate(full, whole.Start, whole.End, at)
	made.Description = optional(text + name + " after " + when)
	made.Discountable = false // the discount is already in the amount
	made.Period = period{Start: max(at, whole.Start), End: whole.End}
	made.Price, made.Plan, made.Proration, made.Quantity = item.Price, item.Plan, true, *item.Quantity
	made.Subscription, made.SubscriptionItem = &sub.ID, &item.ID
	unit := strconv.FormatInt(made.Amount/max(*item.Quantity, 1), 10)
	made.UnitAmountDecimal = &unit
	return made
}

func (t *tx) productName(p *price) string {
	if made, err := store.Get[product](t.Tx, p.Product); err == nil {
		return made.Name
	}
	return p.Product // the product was deleted: only a description depends on it
}

func (t *tx) describe(quantity int64, p *price) string {
	return fmt.Sprintf("%d × %s (at %s / %s)", quantity, t.productName(p), unitPrice(p), p.Recurring.Interval)
}

func unitPrice(p *price) string {
	if p.UnitAmount == nil {
		return text(p.UnitAmountDecimal) + "¢"
	}
	return dollars(*p.UnitAmount)
}
