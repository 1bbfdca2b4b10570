package client

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Preview is what a command would do now, if every participant did its part.
type Preview struct {
	Command string `json:"command"`
	// Allowed: the command would be taken. Otherwise Refusal says why not.
	Allowed bool            `json:"allowed"`
	Refusal *PreviewRefusal `json:"refusal"`
	// ToState is right behind the command, EndState when all that follows from it is done.
	FromState string `json:"from_state"`
	ToState   string `json:"to_state"`
	EndState  string `json:"end_state"`
	// Features and Limits are those that the tenant gains and loses.
	Features  Delta[string]      `json:"features"`
	Limits    Delta[LimitChange] `json:"limits"`
	OverLimit []Violation        `json:"over_limit"`
	// Access is what is blocked, one stage after another; the last one stays.
	Access        []Stage        `json:"access"`
	Cost          Cost           `json:"cost"`
	Events        []string       `json:"events"`
	Notifications []Notification `json:"notifications"`
	// NeedsApproval: another operator has to approve first; what is shown counts from then.
	NeedsApproval bool `json:"needs_approval"`
	// Erasure is a deletion's alone.
	Erasure *Erasure `json:"erasure"`
	// DueAt is when a scheduled change or a deletion takes effect.
	DueAt *time.Time `json:"due_at"`
	// PlanHash has the command refused when the facts have moved since; empty for commands about neither plans nor money.
	PlanHash string `json:"plan_hash"`
}

// PreviewRefusal is why a command would be refused.
type PreviewRefusal struct {
	Code            string      `json:"code"`
	Detail          string      `json:"detail"`
	AllowedCommands []string    `json:"allowed_commands"`
	Violations      []Violation `json:"violations"`
}

// Delta is what is there afterwards and was not before, and the other way round.
type Delta[T any] struct {
	Gained []T `json:"gained"`
	Lost   []T `json:"lost"`
}

// LimitChange is a limit that is another afterwards; 0 is unlimited.
type LimitChange struct {
	Metric string  `json:"metric"`
	From   float64 `json:"from"`
	To     float64 `json:"to"`
}

// Stage is a time in which access stays the same.
type Stage struct {
	State string `json:"state"`
	// AtMostSeconds bounds the stage when every participant keeps its time; nil: for good, or nobody can tell.
	AtMostSeconds *int64 `json:"at_most_seconds"`
	Blocked       []struct {
		Capability string `json:"capability"`
		Status     int    `json:"status"`
		Code       string `json:"code"`
		Reason     string `json:"reason"`
	} `json:"blocked"`
}

// Cost is what a command does to the bill, in cents of Currency.
type Cost struct {
	Currency string `json:"currency"`
	// DueNowCents is charged at once; negative: credited. NextCents is the invoice at NextAt.
	DueNowCents  int64      `json:"due_now_cents"`
	NextCents    int64      `json:"next_cents"`
	NextAt       *time.Time `json:"next_at"`
	MonthlyCents int64      `json:"monthly_cents"`
	Lines        []CostLine `json:"lines"`
	// Source is "stripe", or "estimate" when billing did not answer in time.
	Source string `json:"source"`
}

// CostLine is one line of the invoice.
type CostLine struct {
	Description string `json:"description"`
	AmountCents int64  `json:"amount_cents"`
	Proration   bool   `json:"proration"`
}

// Notification is a mail and the event that sends it.
type Notification struct {
	Event string `json:"event"`
	Mail  string `json:"mail"`
}

// Erasure is what a deletion would erase as the stores are now, and what stays.
type Erasure struct {
	Stores []ErasedStore `json:"stores"`
	// Rows and Bytes are of all stores, those included that are kept for longer; Bytes is an estimate.
	Rows  int64       `json:"rows"`
	Bytes int64       `json:"bytes"`
	Stays []Remainder `json:"stays"`
	// Source is "stores", or "unavailable" when what they hold is not known.
	Source string `json:"source"`
}

// ErasedStore is one store's share.
type ErasedStore struct {
	Store string `json:"store"`
	Kind  string `json:"kind"`
	// Targets are tables, prefixes and the like; operators alone see them.
	Targets []string `json:"targets"`
	Rows    int64    `json:"rows"`
	Bytes   int64    `json:"bytes"`
	// Error is why the store could not be counted.
	Error string `json:"error"`
}

// Remainder is what stays, for a time or, without Until, for good.
type Remainder struct {
	What  string     `json:"what"`
	Why   string     `json:"why"`
	Until *time.Time `json:"until"`
}

// Preview tells what a command would do, and changes nothing. body is the command's: Upgrade, Downgrade, Delete and so
// on, or nil.
func (c *Client) Preview(ctx context.Context, id, command string, body any) (Preview, error) {
	fields := map[string]any{}
	if body != nil {
		encoded, err := json.Marshal(body)
		if err == nil {
			err = json.Unmarshal(encoded, &fields)
		}
		if err != nil {
			return Preview{}, fmt.Errorf("encode the command: %w", err)
		}
	}
	fields["command"] = command
	return post[Preview](ctx, c, tenantPath(id, "/preview"), fields, nil)
}
