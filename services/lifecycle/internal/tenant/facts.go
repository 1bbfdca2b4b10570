package tenant

import (
	"time"

	"tenure/shared/plans"
	"tenure/shared/retention"
)

// Facts are looked up by the caller for each command, answers to steps and timers included.
type Facts struct {
	Plans        plans.Catalogue
	Participants []Participant
	Usage        Usage
	// UsedAt is when the figures of usage moved last, zero if they never did. Figures that only begin anew with a month are
	// no use.
	UsedAt time.Time
	// PeriodEnd is the end of the period that is paid for, as billing last told; zero when there is none.
	PeriodEnd time.Time
	// SinceExport is when the earlier export that an export's since names was asked for; zero: the tenant has completed none
	// of that id.
	SinceExport time.Time
	// PlanHash is that of the preview as it would be made now; a command that names another is refused.
	PlanHash string
	// Named: what a deletion's confirm says is the name that the tenant registered by.
	Named  bool
	Policy Policy
}

// Usage is what billing metered last.
type Usage struct {
	Queries   int64 // in this calendar month
	Documents int64
	StorageGB float64
}

// Participant is a system that takes part in steps.
type Participant struct {
	Name       string
	Actions    []string
	NeedsDrain bool
	// ReadOnly: its switch can do without writes only, so that the gate closes them for as long.
	ReadOnly bool
	Timeout  time.Duration // zero: Policy.StepTimeout
}

// Policy is what the operator set, already picked for this tenant's region and plan.
type Policy struct {
	// Retention says how long a tenant is kept, and what a second operator has to approve. It is the whole policy: which of
	// its rules is about the tenant is decided here.
	Retention retention.Policy
	// Day scales every period given in days; 24h outside of tests.
	Day   time.Duration
	Grace time.Duration // zero: a failed payment suspends at once
	// TrialSettle is how long after a trial's end billing may still say that it was paid.
	TrialSettle   time.Duration
	SignupTimeout time.Duration
	DrainTimeout  time.Duration
	StepTimeout   time.Duration
	StepAttempts  int
	// StepBackoff is the wait before the second try; it doubles up to maxBackoff.
	StepBackoff   time.Duration
	ExportsPerDay int
	IdleAfter     int // days without use after which a tenant is cold; 0: never
}

// Idle is IdleAfter as a time.
func (p Policy) Idle() time.Duration { return time.Duration(p.IdleAfter) * p.Day }

// DefaultPolicy is what holds when the operator sets nothing.
func DefaultPolicy() Policy {
	return Policy{
		Retention:     retention.Default(),
		Day:           24 * time.Hour,
		Grace:         7 * 24 * time.Hour,
		TrialSettle:   5 * time.Minute,
		SignupTimeout: 24 * time.Hour,
		DrainTimeout:  time.Minute,
		StepTimeout:   time.Minute,
		StepAttempts:  5,
		StepBackoff:   time.Second,
		ExportsPerDay: 24,
		IdleAfter:     30,
	}
}
