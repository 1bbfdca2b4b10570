package campaign

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"tenure/shared/plans"
)

// Enrollment is one tenant's way through one campaign.
type Enrollment struct {
	Campaign   string
	Tenant     string
	Generation int64
	Trigger    Trigger
	// At is when the trigger happened: the steps count from it.
	At      time.Time
	Variant string
	// Holdout: nothing is sent; who comes back nevertheless would have done so anyway.
	Holdout bool
	// Next is the index of the step that comes next.
	Next int
}

// Enroll tells whether a campaign takes a tenant in, and how. before is the profile at the moment of the trigger, with the
// plan that the tenant was on. Chance is the hash of the names, so that a replay draws the same lot.
func (c Campaign) Enroll(before Profile, t Trigger, at time.Time, day time.Duration) (Enrollment, bool) {
	if !slices.Contains(c.Triggers, t) || !c.Segment.picks(before, at, day) {
		return Enrollment{}, false
	}
	e := Enrollment{Campaign: c.Name, Tenant: before.Tenant, Generation: before.Generation, Trigger: t, At: at}
	e.Holdout = int(lot("holdout", e)%100) < c.Holdout
	e.Variant = c.variant(lot("variant", e))
	return e, true
}

func lot(of string, e Enrollment) uint64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n%d", of, e.Campaign, e.Tenant, e.Generation))
	return binary.BigEndian.Uint64(sum[:])
}

func (c Campaign) variant(lot uint64) string {
	var all uint64
	for _, v := range c.Variants {
		all += uint64(max(1, v.Weight))
	}
	if all == 0 {
		return ""
	}
	lot %= all
	for _, v := range c.Variants {
		weight := uint64(max(1, v.Weight))
		if lot < weight {
			return v.Name
		}
		lot -= weight
	}
	return ""
}

func (s Segment) picks(p Profile, at time.Time, day time.Duration) bool {
	age := at.Sub(p.BornAt)
	return (len(s.Plans) == 0 || slices.Contains(s.Plans, p.Plan)) &&
		(len(s.Regions) == 0 || slices.Contains(s.Regions, p.Region)) &&
		(s.GDPR == nil || *s.GDPR == p.GDPR) &&
		(s.MinAge == 0 || age >= time.Duration(s.MinAge)*day) &&
		(s.MaxAge == 0 || age <= time.Duration(s.MaxAge)*day)
}

// Due is when an enrollment's next step is due; false when none is left.
func (c Campaign) Due(e Enrollment, day time.Duration) (time.Time, bool) {
	if e.Next >= len(c.Steps) {
		return time.Time{}, false
	}
	return e.At.Add(time.Duration(c.Steps[e.Next].After) * day), true
}

// Standing is what else decides: all that was stored before, looked up with the verdict's transaction.
type Standing struct {
	// Sent are the times of the tenant's campaign mails, of all campaigns, at least within the frequency's days.
	Sent []time.Time
	// Opened and Clicked tell of this enrollment's mails.
	Opened, Clicked bool
	// Taken is how many have been given the next step's offer and can use it still, or have used it.
	Taken int
	// Suppressed is why the tenant gets no advertisements at all (unsubscribed, bounced, complained), or "".
	Suppressed string
}

// Action is what is to be done about an enrollment.
type Action string

// The actions.
const (
	// Send the next step's mail.
	Send Action = "send"
	// Skip the next step.
	Skip Action = "skip"
	// Wait until Verdict.Until, then decide anew.
	Wait Action = "wait"
	// Stop the enrollment for good.
	Stop Action = "stop"
)

// Verdict is an Action and why.
type Verdict struct {
	Action Action
	Until  time.Time
	// Offer is what the mail offers, its zero value nothing.
	Offer Offer
	// Reason of a stop, a skip or a wait: a word for reports.
	Reason string
}

// Why a tenant gets no campaign mails at all.
const (
	SuppressedUnsubscribed = "unsubscribed"
	SuppressedBounced      = "bounced"
	SuppressedComplained   = "complained"
)

// The reasons.
const (
	ReasonReturned  = "returned"
	ReasonGone      = "gone"
	ReasonHeld      = "held"
	ReasonAnew      = "another life"
	ReasonEnded     = "ended"
	ReasonDone      = "done"
	ReasonHoldout   = "holdout"
	ReasonVariant   = "variant"
	ReasonCondition = "condition"
	ReasonOffer     = "offer spent"
	ReasonEarly     = "not due"
	ReasonQuiet     = "quiet hours"
	ReasonFrequency = "frequency cap"
)

// Decide tells what is to be done about an enrollment now, a time in the tenant's zone (see ZoneOf). It is asked when a step
// is due, and once more right before its mail leaves: what is true by then counts.
func (f File) Decide(c Campaign, e Enrollment, p Profile, s Standing, catalogue plans.Catalogue, now time.Time, day time.Duration) Verdict {
	if why := Stops(e, p, s, catalogue); why != "" {
		return Verdict{Action: Stop, Reason: why}
	}
	due, more := c.Due(e, day)
	switch {
	case !more:
		return Verdict{Action: Stop, Reason: ReasonDone}
	case c.Ends > 0 && !now.Before(e.At.Add(time.Duration(c.Ends)*day)):
		return Verdict{Action: Stop, Reason: ReasonEnded}
	case now.Before(due):
		return Verdict{Action: Wait, Until: due, Reason: ReasonEarly}
	}
	step := c.Steps[e.Next]
	offer, why := f.offerOf(step, s, now)
	switch {
	case e.Holdout:
		return Verdict{Action: Skip, Reason: ReasonHoldout}
	case len(step.Variants) > 0 && !slices.Contains(step.Variants, e.Variant):
		return Verdict{Action: Skip, Reason: ReasonVariant}
	case !step.OnlyIf.holds(s):
		return Verdict{Action: Skip, Reason: ReasonCondition}
	case why != "":
		return Verdict{Action: Skip, Reason: why}
	}
	return f.timely(s, offer, now, day)
}

// timely puts a mail off while the tenant sleeps, or has had enough.
func (f File) timely(s Standing, offer Offer, now time.Time, day time.Duration) Verdict {
	if until, capped := f.Frequency.until(s.Sent, now, day); capped {
		return Verdict{Action: Wait, Until: until, Reason: ReasonFrequency}
	}
	if until, quiet := f.Quiet.until(now); quiet {
		return Verdict{Action: Wait, Until: until.UTC(), Reason: ReasonQuiet}
	}
	return Verdict{Action: Send, Offer: offer}
}

// Recheck decides about a mail that was asked for and is about to leave, maybe long after: Send, Wait or Stop. now is in the
// tenant's zone.
func (f File) Recheck(e Enrollment, p Profile, s Standing, catalogue plans.Catalogue, now time.Time) Verdict {
	if why := Stops(e, p, s, catalogue); why != "" {
		return Verdict{Action: Stop, Reason: why}
	}
	if until, quiet := f.Quiet.until(now); quiet {
		return Verdict{Action: Wait, Until: until.UTC(), Reason: ReasonQuiet}
	}
	return Verdict{Action: Send}
}

// Stops tells why an enrollment must not go on, or "".
func Stops(e Enrollment, p Profile, s Standing, catalogue plans.Catalogue) string {
	switch {
	case p.Generation != e.Generation:
		return ReasonAnew
	case p.Gone():
		return ReasonGone
	case len(p.Holds) > 0:
		return ReasonHeld
	case !p.Lost(e.Trigger, catalogue):
		return ReasonReturned
	}
	return s.Suppressed
}

func (c Condition) holds(s Standing) bool {
	return (c.Opened == nil || *c.Opened == s.Opened) && (c.Clicked == nil || *c.Clicked == s.Clicked)
}

// offerOf is the offer of a step, and why there is none where the step needs it.
func (f File) offerOf(step Step, s Standing, now time.Time) (Offer, string) {
	if step.Offer == "" {
		return Offer{}, ""
	}
	offer, known := f.FindOffer(step.Offer)
	spent := !known || offer.Budget > 0 && s.Taken >= offer.Budget || !offer.Until.IsZero() && !now.Before(offer.Until)
	switch {
	case !spent:
		return offer, ""
	case step.WithoutOffer:
		return Offer{}, ""
	}
	return Offer{}, ReasonOffer
}

// ZoneOf names the tenant's own time zone, else that of its region, else that of all regions, else UTC.
func (f File) ZoneOf(p Profile) string {
	return cmp.Or(p.Zone, f.Zones[p.Region], f.Zones[""], "UTC")
}

// until tells how long the cap keeps the next mail back.
func (f Frequency) until(sent []time.Time, now time.Time, day time.Duration) (time.Time, bool) {
	if f.Mails == 0 {
		return time.Time{}, false
	}
	window := time.Duration(f.Days) * day
	var recent []time.Time
	for _, at := range sent {
		if at.After(now.Add(-window)) {
			recent = append(recent, at)
		}
	}
	if len(recent) < f.Mails {
		return time.Time{}, false
	}
	slices.SortFunc(recent, time.Time.Compare)
	return recent[len(recent)-f.Mails].Add(window), true
}

// until tells when the quiet hours that a local time lies in are over.
func (q Quiet) until(local time.Time) (time.Time, bool) {
	at, quiet := local, false
	for range 4 { // a night, a weekend and the night behind it
		end, in := q.end(at)
		if !in {
			break
		}
		at, quiet = end, true
	}
	return at, quiet
}

// end is when the night or the weekend day that a local time lies in is over.
func (q Quiet) end(local time.Time) (time.Time, bool) {
	year, month, date := local.Date()
	at := func(days, minutes int) time.Time {
		return time.Date(year, month, date+days, 0, minutes, 0, 0, local.Location())
	}
	minute := local.Hour()*60 + local.Minute()
	switch weekday := local.Weekday(); {
	case q.Weekends && (weekday == time.Saturday || weekday == time.Sunday):
		return at(1, 0), true
	case q.From < q.To && minute >= q.From && minute < q.To:
		return at(0, q.To), true
	case q.From > q.To && minute >= q.From:
		return at(1, q.To), true
	case q.From > q.To && minute < q.To:
		return at(0, q.To), true
	}
	return local, false
}
