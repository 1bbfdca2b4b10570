package purge

import "time"

// leastSettle is how far apart two looks are at least, however short a day is.
const leastSettle = time.Second

// Settles is how far apart two looks at a store must be that both find it empty: what the store says, scaled as days are;
// never 0 for a store that says more than that.
func Settles(says, day time.Duration) time.Duration {
	scaled := time.Duration(float64(says) * day.Hours() / 24)
	return max(scaled, min(says, leastSettle))
}

// MonthAfter is the end of a period of one month, as Article 12(3) of the GDPR gives to answer a person's request: the same
// day of the next month, or its last day where that has no such day (Regulation 1182/71, Article 3(2)(c)).
func MonthAfter(t time.Time) time.Time {
	t = t.UTC()
	next := t.AddDate(0, 1, 0)
	if next.Day() != t.Day() { // it ran over into the month behind
		next = next.AddDate(0, 0, -next.Day())
	}
	return next
}
