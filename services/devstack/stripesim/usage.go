package stripesim

import (
	"net/http"

	"tenure/services/devstack/stripesim/store"
)

// usageRecord is usage that was reported on a metered item.
type usageRecord struct {
	ID               string `json:"id"`
	Object           string `json:"object"`
	Quantity         int64  `json:"quantity"`
	SubscriptionItem string `json:"subscription_item"`
	Timestamp        int64  `json:"timestamp"`
}

func (u *usageRecord) Key() string     { return u.ID }
func (u *usageRecord) Kind() string    { return "usage_record" }
func (u *usageRecord) Index() []string { return []string{"item=" + u.SubscriptionItem} }

func createUsageRecord(c *call) (any, error) {
	sub, err := c.subscriptionWith(c.id())
	if err != nil {
		return nil, err
	}
	item := sub.item(c.id())
	quantity := c.Int("quantity")
	if quantity == nil {
		c.Require("quantity")
	}
	action := c.OneOf("action", "increment", "set")
	at := c.now
	if c.String("timestamp") != "now" && c.Has("timestamp") {
		if n := c.Int("timestamp"); n != nil {
			at = *n
		}
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	switch {
	case !item.Price.metered() || item.Price.Recurring.Meter != nil:
		return nil, invalid("", "Cannot create the usage record because the subscription item's price does not take usage records.")
	case at < sub.CurrentPeriodStart-draftWindow || at > sub.CurrentPeriodEnd:
		return nil, invalid("timestamp", "Cannot create the usage record with this timestamp because it is outside the current billing period.")
	}
	record := &usageRecord{ID: newID("mbur"), Object: "usage_record", Quantity: *quantity, SubscriptionItem: item.ID, Timestamp: at}
	if action == "set" {
		records, err := all[usageRecord](c.tx, "item="+item.ID)
		if err != nil {
			return nil, err
		}
		for _, earlier := range records {
			if earlier.Timestamp == at {
				if err := c.Delete(earlier); err != nil {
					return nil, err
				}
			}
		}
	}
	return record, store.Put(c.Tx, record)
}

// subscriptionWith is the subscription that has an item.
func (t *tx) subscriptionWith(itemID string) (*subscription, error) {
	for sub, err := range store.Newest[subscription](t.Tx, "item="+itemID, "") {
		return sub, err
	}
	e := missing("subscription_item", itemID, "id")
	e.status = http.StatusNotFound
	return nil, e
}

// used is what a metered line charges: the usage of its item within its period.
func (t *tx) used(l *line, customerID string) (int64, error) {
	if meter := text(l.Price.Recurring.Meter); meter != "" {
		return t.metered(meter, customerID, l.Period)
	}
	records, err := all[usageRecord](t, "item="+*l.SubscriptionItem)
	if err != nil {
		return 0, err
	}
	return aggregate(records, text(l.Price.Recurring.AggregateUsage), l.Period), nil
}

func aggregate(records []*usageRecord, how string, of period) int64 {
	var total, lastAt int64
	for _, r := range records {
		if r.Timestamp >= of.End || (r.Timestamp < of.Start && how != "last_ever") {
			continue
		}
		switch how {
		case "max":
			total = max(total, r.Quantity)
		case "last_during_period", "last_ever":
			if r.Timestamp >= lastAt {
				total, lastAt = r.Quantity, r.Timestamp
			}
		default:
			total += r.Quantity
		}
	}
	return total
}

type usageSummary struct {
	ID               string  `json:"id"`
	Object           string  `json:"object"`
	Invoice          *string `json:"invoice"`
	Period           period  `json:"period"`
	SubscriptionItem string  `json:"subscription_item"`
	TotalUsage       int64   `json:"total_usage"`
}

// listUsageSummaries answers the current period alone: the one that nothing has
// invoiced yet.
func listUsageSummaries(c *call) (any, error) {
	sub, err := c.subscriptionWith(c.id())
	if err != nil {
		return nil, err
	}
	c.Int("limit")
	c.String("starting_after")
	c.String("ending_before")
	if err := c.Err(); err != nil {
		return nil, err
	}
	of := period{Start: sub.CurrentPeriodStart, End: sub.CurrentPeriodEnd}
	item := sub.item(c.id())
	if !item.Price.metered() {
		return nil, invalid("id", "Subscription item %s is not metered.", item.ID)
	}
	used, err := c.used(c.itemLine(sub, item, of), sub.Customer)
	if err != nil {
		return nil, err
	}
	return listOf(c.request.URL.Path, []usageSummary{{
		ID: "sis_" + item.ID[len("si_"):], Object: "usage_record_summary", Period: of,
		SubscriptionItem: item.ID, TotalUsage: used,
	}}), nil
}
