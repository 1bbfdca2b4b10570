// Package usage is the arithmetic of what tenants pay by use: how much a billing period has to be told, what a period
// that is over has taken, and which parts of a plan's limits are used up.
//
// It is pure: times and totals come from the caller. Amounts are in the metric's own units. What is left of a unit is
// charged with the use that completes it.
package usage

import (
	"math"
	"time"

	"tenure/services/billing/internal/plan"
)

// The metrics that plans limit.
const (
	Queries   = "queries"
	Documents = "documents"
	StorageGB = "storage_gb"
)

// A use is told from its duplicates by its id. Use that is older than Window by its own time is refused, so that ids need
// not be kept for ever.
const (
	Window = 35 * 24 * time.Hour
	// Ahead is how far a sender's clock may be wrong.
	Ahead = 24 * time.Hour
	// KeepIDs is how long ids are kept after their uses were counted. For a use whose time lies ahead that is a day more;
	// another day is for the difference between our clocks and the database's.
	KeepIDs = Window + 2*Ahead
)

// Running reports whether a metric's quantities add up for ever, up and down, to a level. A period is charged for the
// level at its end. All other metrics are counted per calendar month, and a period is charged for what was counted.
func Running(metric string) bool { return metric == Documents || metric == StorageGB }

// PayingStatuses are those of a subscription whose use is charged. Use during a trial, and while nothing is subscribed to,
// is free for ever.
var PayingStatuses = []string{plan.Active, plan.PastDue, plan.Unpaid}

// quantity is the whole units of open use beyond what the plan's price covers.
func quantity(open, included float64) int64 { return int64(math.Floor(max(0, open-included))) }

// covered is what the plan's price covers of the open use in a period that has billed so much.
func covered(open float64, billed int64, included float64) float64 {
	return max(0, min(included, open-float64(billed)))
}
