package stripesim

import (
	"strconv"

	"tenure/services/devstack/stripesim/store"
)

// meterDefinition turns events by name into usage of a customer.
type meterDefinition struct {
	ID                 string             `json:"id"`
	Object             string             `json:"object"`
	Created            int64              `json:"created"`
	CustomerMapping    customerMapping    `json:"customer_mapping"`
	DefaultAggregation defaultAggregation `json:"default_aggregation"`
	DisplayName        string             `json:"display_name"`
	EventName          string             `json:"event_name"`
	Status             string             `json:"status"`
	StatusTransitions  struct {
		DeactivatedAt *int64 `json:"deactivated_at"`
	} `json:"status_transitions"`
	Updated       int64         `json:"updated"`
	ValueSettings valueSettings `json:"value_settings"`
}

type customerMapping struct {
	EventPayloadKey string `json:"event_payload_key"`
	Type            string `json:"type"`
}

type defaultAggregation struct {
	Formula string `json:"formula"`
}

type valueSettings struct {
	EventPayloadKey string `json:"event_payload_key"`
}

func (m *meterDefinition) Key() string     { return m.ID }
func (m *meterDefinition) Kind() string    { return "billing.meter" }
func (m *meterDefinition) Index() []string { return []string{"event=" + m.EventName} }

func createMeter(c *call) (any, error) {
	m := &meterDefinition{
		ID: newID("mtr"), Object: "billing.meter", Created: c.now, Updated: c.now, DisplayName: c.Require("display_name"),
		EventName: c.Require("event_name"), Status: "active",
		CustomerMapping: customerMapping{EventPayloadKey: "stripe_customer_id", Type: "by_id"},
		ValueSettings:   valueSettings{EventPayloadKey: "value"},
	}
	m.DefaultAggregation.Formula = c.Sub("default_aggregation").OneOf("formula", "sum", "count")
	if m.DefaultAggregation.Formula == "" {
		c.Complain("default_aggregation", "Missing required param: default_aggregation[formula].")
	}
	mapping := c.Sub("customer_mapping")
	mapping.OneOf("type", "by_id")
	if key := mapping.String("event_payload_key"); key != "" {
		m.CustomerMapping.EventPayloadKey = key
	}
	if key := c.Sub("value_settings").String("event_payload_key"); key != "" {
		m.ValueSettings.EventPayloadKey = key
	}
	c.OneOf("event_time_window", "day", "hour")
	if err := c.Err(); err != nil {
		return nil, err
	}
	for other, err := range store.Newest[meterDefinition](c.Tx, "event="+m.EventName, "") {
		if err != nil {
			return nil, err
		}
		if other.Status == "active" {
			return nil, invalid("event_name", "There is already an active meter with the event name %s.", m.EventName)
		}
	}
	return m, created(c.tx, m, "billing.meter.created")
}

func listMeters(c *call) (any, error) {
	status := c.OneOf("status", "active", "inactive")
	return list(c, "", func(m *meterDefinition) bool { return status == "" || status == m.Status })
}

func deactivateMeter(c *call) (any, error) {
	m, err := find[meterDefinition](c.tx, c.id())
	if err != nil {
		return nil, err
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	m.Status, m.StatusTransitions.DeactivatedAt, m.Updated = "inactive", &c.now, c.now
	return m, updated(c.tx, m, "billing.meter.deactivated")
}

// meterEvent is usage by the name of a meter.
type meterEvent struct {
	Object     string            `json:"object"`
	Created    int64             `json:"created"`
	EventName  string            `json:"event_name"`
	Identifier string            `json:"identifier"`
	Payload    map[string]string `json:"payload"`
	Timestamp  int64             `json:"timestamp"`
}

func (m *meterEvent) Key() string     { return m.Identifier }
func (m *meterEvent) Kind() string    { return "billing.meter_event" }
func (m *meterEvent) Index() []string { return []string{"event=" + m.EventName} }

// How old and how far ahead an event may be.
const (
	oldestMeterEvent = 35 * day
	newestMeterEvent = 5 * 60
)

func createMeterEvent(c *call) (any, error) {
	e := &meterEvent{
		Object: "billing.meter_event", Created: c.now, EventName: c.Require("event_name"),
		Identifier: c.String("identifier"), Payload: c.Map("payload"), Timestamp: c.now,
	}
	if e.Identifier == "" {
		e.Identifier = newID("mev")
	}
	if at := c.Int("timestamp"); at != nil {
		e.Timestamp = *at
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	m, err := c.meterOf(e.EventName)
	if err != nil {
		return nil, err
	}
	if _, err := refer[customer](c.tx, e.Payload[m.CustomerMapping.EventPayloadKey], "payload"); err != nil {
		return nil, err
	}
	if _, err := strconv.ParseInt(e.Payload[m.ValueSettings.EventPayloadKey], 10, 64); err != nil {
		return nil, invalid("payload", "The payload's %s must be a whole number.", m.ValueSettings.EventPayloadKey)
	}
	if e.Timestamp < c.now-oldestMeterEvent || e.Timestamp > c.now+newestMeterEvent {
		return nil, invalid("timestamp", "The timestamp must be within the past 35 days and at most 5 minutes in the future.")
	}
	if twin, err := store.Get[meterEvent](c.Tx, e.Identifier); err == nil && c.now-twin.Created < keyLife {
		return nil, invalid("identifier", "An event already exists with identifier %s.", e.Identifier)
	}
	return e, store.Put(c.Tx, e)
}

func (t *tx) meterOf(eventName string) (*meterDefinition, error) {
	for m, err := range store.Newest[meterDefinition](t.Tx, "event="+eventName, "") {
		if err != nil || m.Status == "active" {
			return m, err
		}
	}
	return nil, invalid("event_name", "No active meter has the event name %s.", eventName)
}

// metered is what a customer used by a meter's events within a period.
func (t *tx) metered(meterID, customerID string, of period) (int64, error) {
	m, err := store.Get[meterDefinition](t.Tx, meterID)
	if err != nil {
		return 0, err
	}
	var total int64
	for e, err := range store.Oldest[meterEvent](t.Tx, "event="+m.EventName, "") {
		if err != nil {
			return 0, err
		}
		if e.Payload[m.CustomerMapping.EventPayloadKey] != customerID || e.Timestamp < of.Start || e.Timestamp >= of.End {
			continue
		}
		if m.DefaultAggregation.Formula == "count" {
			total++
			continue
		}
		value, err := strconv.ParseInt(e.Payload[m.ValueSettings.EventPayloadKey], 10, 64)
		if err != nil {
			return 0, err // checked when it was taken
		}
		total += value
	}
	return total, nil
}
