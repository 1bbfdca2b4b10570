package stripesim

import (
	"tenure/services/devstack/stripesim/form"
	"tenure/services/devstack/stripesim/money"
	"tenure/services/devstack/stripesim/store"
)

// The states of a schedule.
const (
	scheduleActive    = "active"
	scheduleCanceled  = "canceled"
	scheduleCompleted = "completed"
	scheduleReleased  = "released"
)

// schedule changes a subscription at moments that are known in advance.
type schedule struct {
	ID                   string            `json:"id"`
	Object               string            `json:"object"`
	CanceledAt           *int64            `json:"canceled_at"`
	CompletedAt          *int64            `json:"completed_at"`
	Created              int64             `json:"created"`
	CurrentPhase         *currentPhase     `json:"current_phase"`
	Customer             string            `json:"customer"`
	EndBehavior          string            `json:"end_behavior"` // release or cancel
	Metadata             map[string]string `json:"metadata"`
	Phases               []*phase          `json:"phases"`
	ReleasedAt           *int64            `json:"released_at"`
	ReleasedSubscription *string           `json:"released_subscription"`
	Status               string            `json:"status"`
	Subscription         *string           `json:"subscription"`
}

type currentPhase struct {
	EndDate   int64 `json:"end_date"`
	StartDate int64 `json:"start_date"`
}

type phase struct {
	AddInvoiceItems   []string          `json:"add_invoice_items"` // always empty
	Coupon            *string           `json:"coupon"`
	Currency          string            `json:"currency"`
	EndDate           int64             `json:"end_date"`
	Items             []phaseItem       `json:"items"`
	Metadata          map[string]string `json:"metadata"`
	ProrationBehavior string            `json:"proration_behavior"`
	StartDate         int64             `json:"start_date"`
	TrialEnd          *int64            `json:"trial_end"`
}

type phaseItem struct {
	Metadata map[string]string `json:"metadata"`
	Plan     string            `json:"plan"`
	Price    string            `json:"price"`
	Quantity *int64            `json:"quantity,omitempty"`
}

func (s *schedule) Key() string     { return s.ID }
func (s *schedule) Kind() string    { return "subscription_schedule" }
func (s *schedule) Index() []string { return []string{"customer=" + s.Customer} }

// current is the phase in which now lies, nil before the first and after the last.
func (s *schedule) current(now int64) *phase {
	for _, p := range s.Phases {
		if p.StartDate <= now && now < p.EndDate {
			return p
		}
	}
	return nil
}

func (s *schedule) ended() bool { return s.Status != scheduleActive }

func createSchedule(c *call) (any, error) {
	id := c.String("from_subscription")
	if id == "" {
		return nil, invalid("from_subscription", "The simulator makes schedules of subscriptions alone: pass from_subscription.")
	}
	for _, name := range []string{"phases", "customer", "start_date", "end_behavior", "metadata", "default_settings"} {
		if c.Has(name) {
			return nil, invalid(name, "You cannot set `%s` if `from_subscription` is set.", name)
		}
	}
	sub, err := refer[subscription](c.tx, id, "from_subscription")
	if err != nil {
		return nil, err
	}
	made := &schedule{
		ID: newID("sub_sched"), Object: "subscription_schedule", Created: c.now, Customer: sub.Customer,
		EndBehavior: "release", Metadata: map[string]string{}, Status: scheduleActive, Subscription: &sub.ID,
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	switch {
	case sub.Schedule != nil:
		return nil, invalid("from_subscription", "You cannot migrate a subscription that is already attached to a schedule: `%s`.", *sub.Schedule)
	case sub.ended():
		return nil, invalid("from_subscription", "You cannot create a schedule of a subscription that is %s.", sub.Status)
	}
	made.Phases = []*phase{phaseOf(sub)}
	made.show(c.now)
	sub.Schedule = &made.ID
	if err := created(c.tx, made, "subscription_schedule.created"); err != nil {
		return nil, err
	}
	if err := c.schedulePhases(made); err != nil {
		return nil, err
	}
	return made, updated(c.tx, sub, "customer.subscription.updated")
}

func phaseOf(sub *subscription) *phase {
	p := &phase{
		AddInvoiceItems: []string{}, Currency: sub.Currency, StartDate: sub.CurrentPeriodStart, EndDate: sub.CurrentPeriodEnd,
		Metadata: map[string]string{}, ProrationBehavior: prorateCreate,
	}
	if sub.Status == statusTrialing {
		p.TrialEnd = sub.TrialEnd
	}
	if sub.Discount != nil {
		p.Coupon = &sub.Discount.Coupon.ID
	}
	for _, item := range sub.Items.Data {
		p.Items = append(p.Items, phaseItem{
			Metadata: item.Metadata, Plan: item.Price.ID, Price: item.Price.ID, Quantity: item.Quantity,
		})
	}
	return p
}

// schedulePhases lets the phases end, and announces the end of the last.
func (t *tx) schedulePhases(s *schedule) error {
	for _, p := range s.Phases {
		if err := t.at(p.EndDate, taskPhaseEnds, s.ID); err != nil {
			return err
		}
	}
	return t.at(max(s.Phases[len(s.Phases)-1].EndDate-scheduleNotice, t.now), taskScheduleExpires, s.ID)
}

// show sets what the schedule tells of its current phase.
func (s *schedule) show(now int64) {
	s.CurrentPhase = nil
	if p := s.current(now); p != nil && !s.ended() {
		s.CurrentPhase = &currentPhase{StartDate: p.StartDate, EndDate: p.EndDate}
	}
}

func updateSchedule(c *call) (any, error) {
	s, err := find[schedule](c.tx, c.id())
	if err != nil {
		return nil, err
	}
	if s.ended() {
		return nil, invalid("", "You cannot update a subscription schedule that is currently in the `%s` status.", s.Status)
	}
	if end := c.OneOf("end_behavior", "release", "cancel"); end != "" {
		s.EndBehavior = end
	}
	merge(c.Params, &s.Metadata)
	proration := c.OneOf("proration_behavior", prorateCreate, prorateAlways, prorateNone)
	if c.Has("phases") {
		if s.Phases, err = c.readPhases(s); err != nil {
			return nil, err
		}
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	s.show(c.now)
	if err := c.schedulePhases(s); err != nil {
		return nil, err
	}
	if p := s.current(c.now); p != nil {
		sub, err := store.Get[subscription](c.Tx, *s.Subscription)
		if err != nil {
			return nil, err
		}
		if err := c.enterPhase(sub, p, proration); err != nil {
			return nil, err
		}
	}
	return s, updated(c.tx, s, "subscription_schedule.updated")
}

// readPhases takes the current and all coming phases; each begins where the one
// before ends.
func (c *call) readPhases(s *schedule) ([]*phase, error) {
	var phases []*phase
	for i, p := range c.List("phases") {
		read, err := c.readPhase(p)
		if err != nil {
			return nil, err
		}
		start := p.String("start_date")
		switch {
		case start == "now":
			read.StartDate = c.now
		case start != "":
			if at := p.Int("start_date"); at != nil {
				read.StartDate = *at
			}
		case i > 0:
			read.StartDate = phases[i-1].EndDate
		case s.CurrentPhase != nil:
			read.StartDate = s.CurrentPhase.StartDate
		}
		if i == 0 && s.CurrentPhase != nil && read.StartDate != s.CurrentPhase.StartDate {
			return nil, invalid(p.Name("start_date"), "You can not modify the start date of the current phase.")
		}
		if i > 0 && read.StartDate != phases[i-1].EndDate {
			return nil, invalid(p.Name("start_date"), "The subscription schedule's phases must be contiguous: each begins when the one before ends.")
		}
		if err := c.readPhaseEnd(p, read); err != nil {
			return nil, err
		}
		phases = append(phases, read)
	}
	if len(phases) > 0 && phases[len(phases)-1].EndDate <= c.now {
		return nil, invalid("phases", "The last phase must end in the future.")
	}
	return phases, nil
}

func (c *call) readPhase(p *form.Params) (*phase, error) {
	read := &phase{AddInvoiceItems: []string{}, Metadata: map[string]string{}, ProrationBehavior: prorateCreate}
	merge(p, &read.Metadata)
	if behavior := p.OneOf("proration_behavior", prorateCreate, prorateAlways, prorateNone); behavior != "" {
		read.ProrationBehavior = behavior
	}
	if p.String("trial_end") != "" {
		read.TrialEnd = p.Int("trial_end")
	}
	p.OneOf("billing_cycle_anchor", "automatic", "phase_start")
	if read.Coupon = optional(p.String("coupon")); read.Coupon != nil {
		if _, err := refer[coupon](c.tx, *read.Coupon, p.Name("coupon")); err != nil {
			return nil, err
		}
	}
	for _, item := range p.List("items") {
		id := item.Require("price")
		chosen, err := refer[price](c.tx, id, item.Name("price"))
		if err != nil {
			return nil, err
		}
		read.Currency = chosen.Currency
		of := phaseItem{Plan: id, Price: id, Quantity: item.Int("quantity")}
		if of.Quantity == nil && !chosen.metered() {
			of.Quantity = orOne(nil)
		}
		merge(item, &of.Metadata)
		read.Items = append(read.Items, of)
	}
	if len(read.Items) == 0 {
		return nil, invalid(p.Name("items"), "Missing required param: %s.", p.Name("items"))
	}
	return read, nil
}

// readPhaseEnd takes end_date, or counts iterations of the price's interval.
func (c *call) readPhaseEnd(p *form.Params, read *phase) error {
	end, iterations := p.Int("end_date"), p.Int("iterations")
	switch {
	case end != nil && iterations != nil:
		return invalid(p.Name("iterations"), "You may only specify one of these parameters: end_date, iterations.")
	case end != nil:
		read.EndDate = *end
	default:
		chosen, err := refer[price](c.tx, read.Items[0].Price, p.Name("items"))
		if err != nil {
			return err
		}
		if chosen.Recurring == nil {
			return invalid(p.Name("items"), "A phase needs prices with `type=recurring`.")
		}
		count := chosen.Recurring.IntervalCount * *orOne(iterations)
		read.EndDate = money.PeriodEnd(read.StartDate, chosen.Recurring.Interval, count, read.StartDate)
	}
	if read.EndDate <= read.StartDate {
		return invalid(p.Name("end_date"), "The end of a phase must be after its start.")
	}
	return nil
}

func orOne(n *int64) *int64 {
	if n == nil {
		one := int64(1)
		return &one
	}
	return n
}

func releaseSchedule(c *call) (any, error) {
	s, err := find[schedule](c.tx, c.id())
	if err != nil {
		return nil, err
	}
	c.Flag("preserve_cancel_date")
	if err := c.Err(); err != nil {
		return nil, err
	}
	if s.ended() {
		return nil, invalid("", "You cannot release a subscription schedule that is currently in the `%s` status.", s.Status)
	}
	return s, c.release(s)
}

// release leaves the subscription as it is now.
func (t *tx) release(s *schedule) error {
	sub, err := store.Get[subscription](t.Tx, *s.Subscription)
	if err != nil {
		return err
	}
	sub.Schedule = nil
	if err := updated(t, sub, "customer.subscription.updated"); err != nil {
		return err
	}
	s.Status, s.ReleasedAt, s.ReleasedSubscription, s.Subscription = scheduleReleased, &t.now, s.Subscription, nil
	s.show(t.now)
	return updated(t, s, "subscription_schedule.released")
}

func cancelSchedule(c *call) (any, error) {
	s, err := find[schedule](c.tx, c.id())
	if err != nil {
		return nil, err
	}
	options := cancelOptions{invoiceNow: true, prorate: true}
	if b := c.Bool("invoice_now"); b != nil {
		options.invoiceNow = *b
	}
	if b := c.Bool("prorate"); b != nil {
		options.prorate = *b
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	if s.ended() {
		return nil, invalid("", "You cannot cancel a subscription schedule that is currently in the `%s` status.", s.Status)
	}
	sub, err := store.Get[subscription](c.Tx, *s.Subscription)
	if err != nil {
		return nil, err
	}
	if err := c.cancelNow(sub, options); err != nil {
		return nil, err
	}
	return find[schedule](c.tx, s.ID)
}

// endSchedule ends the schedule of a subscription that is being canceled.
func (t *tx) endSchedule(sub *subscription) error {
	if sub.Schedule == nil {
		return nil
	}
	s, err := store.Get[schedule](t.Tx, *sub.Schedule)
	if err != nil {
		return err
	}
	s.Status, s.CanceledAt = scheduleCanceled, &t.now
	s.show(t.now)
	if text(sub.CancellationDetails.Reason) == "payment_failed" {
		return updated(t, s, "subscription_schedule.aborted")
	}
	return updated(t, s, "subscription_schedule.canceled")
}

func listSchedules(c *call) (any, error) {
	index := ""
	if id := c.String("customer"); id != "" {
		index = "customer=" + id
	}
	created := c.within("created")
	return list(c, index, func(s *schedule) bool { return created(s.Created) })
}
