// Package money computes what Stripe charges, in whole cents. It is pure.
package money

import (
	"math/big"
	"regexp"
	"time"
)

// Tier is a step of a tiered price. UpTo is nil for the last one.
type Tier struct {
	FlatAmount        *int64 `json:"flat_amount"`
	UnitAmountDecimal string `json:"unit_amount_decimal"`
	UpTo              *int64 `json:"up_to"`
}

var decimal = regexp.MustCompile(`^-?[0-9]+(\.[0-9]{1,12})?$`)

// Valid reports whether text is a decimal amount in cents, as Stripe takes it.
func Valid(text string) bool { return decimal.MatchString(text) }

// Times is the price of a quantity, rounded once to the cent: fractions of a cent
// per unit must add up over a large quantity. An invalid unit price costs nothing.
func Times(unit string, quantity int64) int64 {
	r, ok := new(big.Rat).SetString(unit)
	if !ok {
		return 0
	}
	return round(r.Mul(r, new(big.Rat).SetInt64(quantity)))
}

// Tiered is the price of a quantity by tiers. With volume the tier that the whole
// quantity reaches counts for all of it, else each tier for its own part.
func Tiered(tiers []Tier, volume bool, quantity int64) int64 {
	total := new(big.Rat)
	from := int64(0)
	for _, tier := range tiers {
		last := tier.UpTo == nil || quantity <= *tier.UpTo
		units := quantity - from
		if !last {
			units = *tier.UpTo - from
		}
		if volume {
			units = quantity
		}
		if !volume || last {
			total.Add(total, tierAmount(tier, units))
		}
		if last {
			break
		}
		from = *tier.UpTo
	}
	return round(total)
}

func tierAmount(tier Tier, units int64) *big.Rat {
	amount := new(big.Rat)
	if unit, ok := new(big.Rat).SetString(tier.UnitAmountDecimal); ok {
		amount.Mul(unit, new(big.Rat).SetInt64(units))
	}
	if tier.FlatAmount != nil {
		amount.Add(amount, new(big.Rat).SetInt64(*tier.FlatAmount))
	}
	return amount
}

// Prorate is the part of an amount that falls on the seconds from at to end of
// the period from start to end.
func Prorate(amount, start, end, at int64) int64 {
	if end <= start || at >= end {
		return 0
	}
	at = max(at, start)
	part := big.NewRat(end-at, end-start)
	return round(part.Mul(part, new(big.Rat).SetInt64(amount)))
}

// Percent is a share of an amount; percent may have a fraction.
func Percent(amount int64, percent float64) int64 {
	share := new(big.Rat).SetFloat64(percent)
	if share == nil {
		return 0
	}
	share.Quo(share, big.NewRat(100, 1))
	return round(share.Mul(share, new(big.Rat).SetInt64(amount)))
}

// round is to the nearest cent, half a cent away from zero, so that a credit and
// a charge of the same time cancel out.
func round(r *big.Rat) int64 {
	half := big.NewRat(int64(r.Sign()), 2)
	r = new(big.Rat).Add(r, half)
	return new(big.Int).Quo(r.Num(), r.Denom()).Int64() // Quo truncates towards zero
}

// PeriodEnd is the first end of a billing period after the given moment, counted
// in intervals from the anchor. All times are Unix seconds, in UTC.
func PeriodEnd(anchor int64, interval string, count, after int64) int64 {
	if anchor > after {
		return anchor
	}
	start := time.Unix(anchor, 0).UTC()
	// Beginning near the goal keeps an old subscription as cheap as a new one.
	n := max((after-anchor)/(longest(interval)*count), 0)
	for ; ; n++ {
		if end := add(start, interval, int(n*count)).Unix(); end > after {
			return end
		}
	}
}

// longest is the most seconds that an interval can have.
func longest(interval string) int64 {
	const day = 24 * 60 * 60
	switch interval {
	case "day":
		return day
	case "week":
		return 7 * day
	case "year":
		return 366 * day
	}
	return 31 * day
}

// add counts months and years so that the end of a short month does not move the
// day of the following ones: from January 31st come February 28th and March 31st.
func add(t time.Time, interval string, n int) time.Time {
	switch interval {
	case "day":
		return t.AddDate(0, 0, n)
	case "week":
		return t.AddDate(0, 0, 7*n)
	case "year":
		n *= 12
	}
	first := time.Date(t.Year(), t.Month()+time.Month(n), 1, t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
	lastDay := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(t.Day(), lastDay)-1)
}
