// Package campaign decides who is asked to come back, with what, when, and when to stop. It is pure: no clock, no
// randomness, no I/O. Times, what is known of a tenant and what was sent before arrive as arguments; whoever calls it
// stores the verdict together with what it was based on.
package campaign

import (
	"time"
)

// File is all that the operator has set: one file, so that caps, budgets and quiet hours hold over all campaigns.
type File struct {
	Campaigns []Campaign
	Offers    []Offer
	Frequency Frequency
	Quiet     Quiet
	// Zones are the time zones of regions (IANA's names); "" is that of every other region. None: UTC.
	Zones map[string]string
}

// Trigger is why a tenant is about to be lost.
type Trigger string

// The triggers, each an event of the lifecycle.
const (
	// Cancelled: a paid plan was given up for a free one.
	Cancelled Trigger = "cancelled"
	// SuspendedForNonPayment: the grace is over, and access closed.
	SuspendedForNonPayment Trigger = "suspended_for_non_payment"
	DeletionRequested      Trigger = "deletion_requested"
	TrialExpired           Trigger = "trial_expired"
)

// Campaign is a row of mails to those who are about to be lost.
type Campaign struct {
	// Name stands in the database: a campaign under a new name is a new one.
	Name     string
	Triggers []Trigger
	Segment  Segment
	// Holdout is how many of a hundred get nothing, so that the effect on the others can be told.
	Holdout  int
	Variants []Variant
	Steps    []Step
	// Ends is after how many days nothing more is sent.
	Ends int
	// TrackOpens puts a picture into the mails that tells when one is opened. Off unless it is wanted: it is personal data.
	TrackOpens bool
}

// Segment picks tenants; an empty field picks all.
type Segment struct {
	// Plans are those that the tenant was on when it was about to be lost.
	Plans   []string
	Regions []string
	GDPR    *bool
	// MinAge and MaxAge are days since the tenant signed up; 0 is no bound.
	MinAge, MaxAge int
}

// Variant is one of several ways to say it.
type Variant struct {
	Name string
	// Weight is its share of all weights; 0 counts as 1.
	Weight int
}

// Step is one mail.
type Step struct {
	// Name is unique within the campaign, and stands in the database.
	Name string
	// After is how many days after the trigger it is due.
	After int
	// Variants that get it; empty: all.
	Variants []string
	// OnlyIf are conditions on the mails before it.
	OnlyIf Condition
	// Offer is the name of one, or "".
	Offer string
	// WithoutOffer sends the mail although the offer is spent; otherwise the step is left out then.
	WithoutOffer bool
	// Texts by locale. The first locale that the operator wrote is in Default.
	Texts   map[string]Text
	Default string
}

// Text is what a mail says: templates with {{.Tenant}}, {{.Name}}, {{.Link}}, {{.Offer}} and {{date .Until}}.
type Text struct {
	Subject, Body string
}

// TextFor is the text in a locale, else in the language alone, else in the default; and in which of them it is.
func (s Step) TextFor(locale string) (Text, string) {
	for l := locale; l != ""; {
		if text, ok := s.Texts[l]; ok {
			return text, l
		}
		if len(l) <= 2 {
			break
		}
		l = l[:2]
	}
	return s.Texts[s.Default], s.Default
}

// Condition on what became of the campaign's mails before; nil does not matter.
type Condition struct {
	Opened, Clicked *bool
}

// Offer is a coupon at Stripe with what may be spent on it.
type Offer struct {
	Name string
	// Coupon is its id at Stripe.
	Coupon string
	// Says is how a mail and the way back put it: "20% off for three months".
	Says string
	// Budget is how many tenants may be given it at once or have used it; 0 is no bound.
	Budget int
	// Days is how long a tenant has from the mail on.
	Days int
	// Until ends it for all; the zero time never.
	Until time.Time
}

// Frequency bounds the mails of all campaigns to one tenant: Mails within Days.
type Frequency struct {
	Mails, Days int
}

// Quiet are the hours of a day, in the tenant's time zone, in which nothing is sent: from From on, before To, in minutes since
// midnight; over midnight where From is the larger. Equal: none.
type Quiet struct {
	From, To int
	Weekends bool
}

// Find returns a campaign by its name.
func (f File) Find(name string) (Campaign, bool) {
	for _, c := range f.Campaigns {
		if c.Name == name {
			return c, true
		}
	}
	return Campaign{}, false
}

// FindOffer returns an offer by its name.
func (f File) FindOffer(name string) (Offer, bool) {
	for _, o := range f.Offers {
		if o.Name == name {
			return o, true
		}
	}
	return Offer{}, false
}
