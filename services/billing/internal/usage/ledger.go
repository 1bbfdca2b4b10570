package usage

// Ledger is one tenant's use as invoices see it. The maps are by metric.
type Ledger struct {
	// Life is how often the tenant has begun anew. What was used and billed in one life is nothing to another.
	Life int64
	// Items are those whose period is told or not closed yet.
	Items []Item
	// Used is what was counted to be charged in this life; the level of a running total.
	Used map[string]float64
	// Settled is what of it closed periods have billed and covered.
	Settled map[string]float64
}

// Open is what no other period has taken of the use of the item's metric. A period that is not closed holds what it was
// sent: Stripe may bill it.
func (l Ledger) Open(item Item) float64 {
	open := l.Used[item.Metric]
	if Running(item.Metric) {
		return open
	}
	open -= l.Settled[item.Metric]
	for _, other := range l.Items {
		if other.Metric == item.Metric && other.ID != item.ID && other.Life == l.Life {
			open -= float64(other.Quantity) + covered(open, other.Quantity, other.Included)
		}
	}
	return open
}

// Total is what the item's period has to be told, and whether it was told something else.
func (l Ledger) Total(item Item) (total int64, outdated bool) {
	total = quantity(l.Open(item), item.Included)
	return total, total != item.Quantity || item.State == Refused || item.Life != l.Life
}

// Settle takes what an item's periods have billed and covered off what is open, unless it is another life's.
func (l Ledger) Settle(item Item, closed []Closed) {
	if item.Life != l.Life {
		return
	}
	for _, c := range closed {
		l.Settled[item.Metric] += float64(c.Billed) + c.Covered
	}
}
