package usage

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"tenure/services/billing/internal/plan"
)

// State is what is known of the total that an item was last sent.
type State string

// The states. A total is written down as Sent before it is sent, and sent again, unchanged, until Stripe has answered: only
// then is it certain that no request is under way that could still change what the period bills.
const (
	Unsent  State = "unsent"  // the period was told nothing: Stripe has zero
	Sent    State = "sent"    // whether Stripe has it is not known
	Taken   State = "taken"   // Stripe has it
	Refused State = "refused" // Stripe has it or an earlier one
)

// Item is a metered item of a subscription, in the billing period that is told its use.
type Item struct {
	ID             string
	SubscriptionID string
	Metric         string
	// Life is the Ledger's when the item was last sent something. Where that was refused, the period may still bill what
	// an earlier life was told; it then counts for this one, which is to the tenant's advantage.
	Life int64
	// Start and End are the period's, by Stripe's clock.
	Start, End time.Time
	// Included is the most that any plan of the tenant covered in this period: a lower plan makes no use dearer afterwards.
	Included float64
	// Quantity is the total that was sent last, Attempt its number.
	Quantity int64
	Attempt  int64
	State    State
	// Gone is for how long Stripe has been seen without the item.
	Gone time.Duration
}

// patience is how long an ended subscription may take to have its last invoice: Stripe keeps drafts for about an hour.
const patience = 2 * time.Hour

// In is the item in the subscription's current period, which was told nothing yet.
func (i Item) In(s plan.Subscription) Item {
	i.SubscriptionID, i.Start, i.End = s.ID, s.CurrentPeriodStart, s.CurrentPeriodEnd
	i.Included, i.Quantity, i.State = 0, 0, Unsent
	return i
}

// At is the moment at which the period's totals are set, one in the place of another. It is the period's first that lies
// "after the current period start time", as Stripe asks: no difference between clocks can move it out of the period.
func (i Item) At() time.Time { return i.Start.Add(time.Second) }

// Key is the idempotency key of what was sent last.
func (i Item) Key() string { return "usage/" + i.ID + "/" + strconv.FormatInt(i.Attempt, 10) }

// Send is the item once the total is written down.
func (i Item) Send(total, life int64) Item {
	i.Quantity, i.Life, i.State = total, life, Sent
	return i.Renew()
}

// Renew sends the same under another key.
func (i Item) Renew() Item {
	i.Attempt++
	return i
}

// Answered is the item after Stripe's answer to what was sent.
func (i Item) Answered(taken bool) Item {
	i.State = Refused
	if taken {
		i.State = Taken
	}
	return i
}

// Over reports whether the item's period has ended. s is the live subscription that has the item; nil: it is gone.
func (i Item) Over(s *plan.Subscription) bool { return s == nil || s.CurrentPeriodStart.After(i.Start) }

// Closed is a period that is over.
type Closed struct {
	plan.UsagePeriod
	Billed int64
	// Covered is what the plan's price covered on top.
	Covered float64
}

// ErrUnsettled says that what a period bills is not certain yet.
var ErrUnsettled = errors.New("the invoice of the period is not certain yet")

// Close says what the item's periods that are over have taken of the open use, the oldest first. periods are what Stripe
// holds, the newest first: it alone says what was billed, since what was sent last may have come too late. s is as in Over.
// ErrUnsettled asks to look again later.
func (i Item) Close(periods []plan.UsagePeriod, s *plan.Subscription, open float64) ([]Closed, error) {
	var all []Closed
	for _, p := range i.over(periods, s) {
		c := Closed{UsagePeriod: p, Billed: p.Total}
		if s == nil && p.InvoiceID == "" && p.Total > 0 {
			if i.Gone < patience {
				return nil, ErrUnsettled
			}
			c.Billed = 0 // cancelled without an invoice: Stripe forgets this use, and it stays open
		}
		c.Covered = covered(open, c.Billed, i.Included)
		open -= float64(c.Billed) + c.Covered
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: Stripe lists no use of %s from %v on", ErrUnsettled, i.ID, i.Start)
	}
	return all, nil
}

// over is the periods to be closed, the oldest first. Of an ended subscription Stripe may list no more than what it invoiced.
func (i Item) over(periods []plan.UsagePeriod, s *plan.Subscription) []plan.UsagePeriod {
	var out []plan.UsagePeriod
	for _, p := range slices.Backward(periods) {
		if p.End.After(i.Start) && (s == nil || !p.End.After(s.CurrentPeriodStart)) {
			out = append(out, p)
		}
	}
	if s == nil && len(out) == 0 {
		out = []plan.UsagePeriod{{Start: i.Start, End: i.End, Total: i.Quantity}}
	}
	return out
}

// Assume closes the period of an item that Stripe knows no more: to take all it was sent for billed can only be to the
// tenant's advantage.
func (i Item) Assume(open float64) []Closed {
	p := plan.UsagePeriod{Start: i.Start, End: i.End, Total: i.Quantity}
	return []Closed{{UsagePeriod: p, Billed: p.Total, Covered: covered(open, p.Total, i.Included)}}
}
