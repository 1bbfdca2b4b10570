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
