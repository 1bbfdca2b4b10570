package stripesim

import (
	"slices"

	"tenure/services/devstack/stripesim/money"
)

// The states of a subscription.
const (
	statusActive            = "active"
	statusCanceled          = "canceled"
	statusIncomplete        = "incomplete"
	statusIncompleteExpired = "incomplete_expired"
	statusPastDue           = "past_due"
	statusPaused            = "paused"
	statusTrialing          = "trialing"
	statusUnpaid            = "unpaid"
)

type subscription struct {
	ID                   string                  `json:"id"`
	Object               string                  `json:"object"`
	BillingCycleAnchor   int64                   `json:"billing_cycle_anchor"`
	CancelAt             *int64                  `json:"cancel_at"`
	CancelAtPeriodEnd    bool                    `json:"cancel_at_period_end"`
	CanceledAt           *int64                  `json:"canceled_at"`
	CancellationDetails  cancellationDetails     `json:"cancellation_details"`
	CollectionMethod     string                  `json:"collection_method"`
	Created              int64                   `json:"created"`
	Currency             string                  `json:"currency"`
	CurrentPeriodEnd     int64                   `json:"current_period_end"`
	CurrentPeriodStart   int64                   `json:"current_period_start"`
	Customer             string                  `json:"customer"`
	DefaultPaymentMethod *string                 `json:"default_payment_method"`
	Description          *string                 `json:"description"`
	Discount             *discount               `json:"discount"`
	EndedAt              *int64                  `json:"ended_at"`
	Items                page[*subscriptionItem] `json:"items"`
	LatestInvoice        *string                 `json:"latest_invoice"`
	Metadata             map[string]string       `json:"metadata"`
	PauseCollection      *pauseCollection        `json:"pause_collection"`
	PendingUpdate        *pendingUpdate          `json:"pending_update"`
	Schedule             *string                 `json:"schedule"`
	StartDate            int64                   `json:"start_date"`
	Status               string                  `json:"status"`
	TrialEnd             *int64                  `json:"trial_end"`
	TrialSettings        trialSettings           `json:"trial_settings"`
	TrialStart           *int64                  `json:"trial_start"`
}

type subscriptionItem struct {
	ID           string            `json:"id"`
	Object       string            `json:"object"`
	Created      int64             `json:"created"`
	Metadata     map[string]string `json:"metadata"`
	Plan         *plan             `json:"plan"`
	Price        *price            `json:"price"`
	Quantity     *int64            `json:"quantity,omitempty"` // none for a metered price
	Subscription string            `json:"subscription"`
}

type cancellationDetails struct {
	Comment  *string `json:"comment"`
	Feedback *string `json:"feedback"`
	Reason   *string `json:"reason"`
}

type pauseCollection struct {
	Behavior  string `json:"behavior"`
	ResumesAt *int64 `json:"resumes_at"`
}

type trialSettings struct {
	EndBehavior struct {
		MissingPaymentMethod string `json:"missing_payment_method"`
	} `json:"end_behavior"`
}

// pendingUpdate is what a subscription becomes once its latest invoice is paid.
type pendingUpdate struct {
	BillingCycleAnchor *int64              `json:"billing_cycle_anchor"`
	ExpiresAt          int64               `json:"expires_at"`
	SubscriptionItems  []*subscriptionItem `json:"subscription_items"`
	TrialEnd           *int64              `json:"trial_end"`
	TrialFromPlan      *bool               `json:"trial_from_plan"`
}

func (s *subscription) Key() string  { return s.ID }
func (s *subscription) Kind() string { return "subscription" }

func (s *subscription) Index() []string {
	names := []string{"customer=" + s.Customer}
	for _, item := range s.Items.Data {
		names = append(names, "item="+item.ID)
	}
	return names
}

// ended reports whether nothing can happen to the subscription any more.
func (s *subscription) ended() bool {
	return s.Status == statusCanceled || s.Status == statusIncompleteExpired
}

// copy is deep where an update changes things in place.
func (s *subscription) copy() *subscription {
	c := *s
	c.Items.Data = make([]*subscriptionItem, len(s.Items.Data))
	for i, item := range s.Items.Data {
		v := *item
		c.Items.Data[i] = &v
	}
	return &c
}

func (s *subscription) item(id string) *subscriptionItem {
	for _, item := range s.Items.Data {
		if item.ID == id {
			return item
		}
	}
	return nil
}

// interval is that of all items: Stripe does not mix them.
func (s *subscription) interval() (unit string, count int64) {
	r := s.Items.Data[0].Price.Recurring
	return r.Interval, r.IntervalCount
}

// periodEnd is the first end of a period after a moment.
func (s *subscription) periodEnd(after int64) int64 {
	unit, count := s.interval()
	return money.PeriodEnd(s.BillingCycleAnchor, unit, count, after)
}

// recurs is what the licensed items cost for a whole period.
func (s *subscription) recurs() int64 {
	var total int64
	for _, item := range s.Items.Data {
		total += item.amount()
	}
	return total
}

func (i *subscriptionItem) setPrice(p *price) {
	i.Price, i.Plan = p, planOf(p)
	switch {
	case p.metered():
		i.Quantity = nil
	case i.Quantity == nil:
		one := int64(1)
		i.Quantity = &one
	}
}

// amount is the item's cost for a whole period; a metered item costs nothing in advance.
func (i *subscriptionItem) amount() int64 {
	if i.Quantity == nil {
		return 0
	}
	return i.Price.amount(*i.Quantity)
}

// sameCharge reports whether two items cost the same for the same thing.
func (i *subscriptionItem) sameCharge(o *subscriptionItem) bool {
	return i.Price.ID == o.Price.ID && (i.Quantity == nil) == (o.Quantity == nil) &&
		(i.Quantity == nil || *i.Quantity == *o.Quantity)
}

func listSubscriptions(c *call) (any, error) {
	index := ""
	if id := c.String("customer"); id != "" {
		index = "customer=" + id
	}
	priceID := c.String("price")
	status := c.OneOf("status", "all", "ended", statusActive, statusCanceled, statusIncomplete,
		statusIncompleteExpired, statusPastDue, statusPaused, statusTrialing, statusUnpaid)
	method := c.OneOf("collection_method", "charge_automatically", "send_invoice")
	created, start, end := c.within("created"), c.within("current_period_start"), c.within("current_period_end")
	return list(c, index, func(s *subscription) bool {
		return s.hasStatus(status) && (method == "" || method == s.CollectionMethod) &&
			(priceID == "" || slices.ContainsFunc(s.Items.Data, func(i *subscriptionItem) bool { return i.Price.ID == priceID })) &&
			created(s.Created) && start(s.CurrentPeriodStart) && end(s.CurrentPeriodEnd)
	})
}

// hasStatus is the status filter of lists: without one Stripe leaves out what was canceled.
func (s *subscription) hasStatus(filter string) bool {
	switch filter {
	case "":
		return s.Status != statusCanceled
	case "all":
		return true
	case "ended":
		return s.ended()
	}
	return s.Status == filter
}
