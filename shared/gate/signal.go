package gate

import "time"

// BeatPeriod is how often a live gate says so.
const BeatPeriod = time.Second

// Signal is what a gate says of itself: that it lives and knows all that is on the bus, and which step of a plan change it
// has just taken in. The lifecycle waits for all live gates before it releases what a tenant leaves behind.
type Signal struct {
	Gate string `json:"gate"`
	Step string `json:"step,omitempty"`
}

// SignalSubject is where a gate sends its signals; "*" is where all of them do. They are in no stream: what is lost is said
// again.
func SignalSubject(gate string) string { return "tenure.gates." + gate }
