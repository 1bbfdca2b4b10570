package retention

import "time"

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
