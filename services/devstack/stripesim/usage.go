package stripesim

import (
	"net/http"
	"strconv"

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

func (u *usageRecord) Key() string  { return u.ID }
func (u *usageRecord) Kind() string { return "usage_record" }
func (u *usageRecord) Index() []string {
	return []string{"item=" + u.SubscriptionItem, u.moment()}
}

// moment is the list of the one record that an item has at a time.
func (u *usageRecord) moment() string {
	return "at=" + u.SubscriptionItem + "/" + strconv.FormatInt(u.Timestamp, 10)
}

// usageGrace is how long after a period's end usage that is summed up may still be
// reported for it: clocks drift.
const usageGrace = 5 * 60

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
	set := c.OneOf("action", "increment", "set") == "set"
	at := c.now
	if c.String("timestamp") != "now" && c.Has("timestamp") {
		if n := c.Int("timestamp"); n != nil {
			at = *n
		}
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	if err := sub.takesUsage(item, at, c.now); err != nil {
		return nil, err
	}
	record := &usageRecord{ID: newID("mbur"), Object: "usage_record", Quantity: *quantity, SubscriptionItem: item.ID, Timestamp: at}
	for earlier, err := range store.Newest[usageRecord](c.Tx, record.moment(), "") {
		if err != nil {
			return nil, err
		}
		if set {
			earlier.Quantity = 0
		}
		earlier.Quantity += *quantity
		record = earlier
		break
	}
	return record, store.Put(c.Tx, record)
}

// takesUsage refuses usage of another time than the current period's.
func (s *subscription) takesUsage(item *subscriptionItem, at, now int64) error {
	begin := s.CurrentPeriodStart
	if text(item.Price.Recurring.AggregateUsage) == "sum" && now < begin+usageGrace {
		begin -= usageGrace
	}
	switch {
	case !item.Price.metered() || item.Price.Recurring.Meter != nil:
		return invalid("", "Cannot create the usage record because the subscription item's price does not take usage records.")
	case s.ended():
		return invalid("", "Cannot create the usage record because the subscription is %s.", s.Status)
	case at < begin:
		return invalid("timestamp", "Cannot create the usage record with this timestamp because timestamps must be after "+
			"the subscription's last invoice period (or current period start time).")
	case at > now:
		return invalid("timestamp", "Cannot create the usage record with this timestamp because it is in the future.")
	}
	return nil
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

// listUsageSummaries answers the current period, then those that were invoiced,
// the newest first.
func listUsageSummaries(c *call) (any, error) {
	sub, err := c.subscriptionWith(c.id())
	if err != nil {
		return nil, err
	}
	item := sub.item(c.id())
	if !item.Price.metered() {
		return nil, invalid("id", "Subscription item %s is not metered.", item.ID)
	}
	var summaries []usageSummary
	add := func(l *line, invoiceID *string) error {
		used, err := c.used(l, sub.Customer)
		summaries = append(summaries, usageSummary{
			ID: "sis_" + strconv.FormatInt(l.Period.Start, 36) + item.ID[len("si_"):], Object: "usage_record_summary",
			Invoice: invoiceID, Period: l.Period, SubscriptionItem: item.ID, TotalUsage: used,
		})
		return err
	}
	if !sub.ended() {
		current := period{Start: sub.CurrentPeriodStart, End: sub.CurrentPeriodEnd}
		if err := add(c.itemLine(sub, item, current), nil); err != nil {
			return nil, err
		}
	}
	for inv, err := range store.Newest[invoice](c.Tx, "subscription="+sub.ID, "") {
		if err != nil {
			return nil, err
		}
		for _, l := range inv.Lines.Data {
			if text(l.SubscriptionItem) != item.ID || !l.Price.metered() {
				continue
			}
			if err := add(l, &inv.ID); err != nil {
				return nil, err
			}
		}
	}
	return part(c, summaries, func(s usageSummary) string { return s.ID })
}
