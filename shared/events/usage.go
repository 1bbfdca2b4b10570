package events

import "time"

// UsageRecorded is one metered use, published by the SaaS to tenure.usage.<tenant>; the event's id deduplicates it.
type UsageRecorded struct {
	// Metric is queries (counted per calendar month), documents or storage_gb (running totals: quantities may be
	// negative), or a name of the SaaS's own.
	Metric   string    `json:"metric"`
	Quantity float64   `json:"quantity"`
	Time     time.Time `json:"time"`
}

// EventType names the type on the bus.
func (*UsageRecorded) EventType() string { return "tenure.usage.recorded.v1" }

func init() { register[UsageRecorded]() }
