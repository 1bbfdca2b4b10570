// Package audit checks the live log from outside, by what the API shows of it.
package audit

import (
	"context"
	"encoding/hex"
	"fmt"

	"tenure/shared/client"
	"tenure/shared/eventlog"
	"tenure/shared/events"
)

// Report tells how much was checked.
type Report struct {
	Events  int `json:"events"`
	Tenants int `json:"tenants"`
}

// VerifyLog recomputes the hash chain of one tenant, or of all when tenant is empty. The error says where the log is not
// what was written.
func VerifyLog(ctx context.Context, c *client.Client, tenant string) (Report, error) {
	type head struct {
		hash    []byte
		version int64
	}
	heads := map[string]head{}
	report := Report{}
	for e, err := range c.Events(ctx, client.EventFilter{Tenant: tenant}) {
		if err != nil {
			return report, err
		}
		recorded, err := asRecorded(e)
		if err != nil {
			return report, fmt.Errorf("tenant %s, version %d: %w", e.Tenant, e.Version, err)
		}
		h := heads[e.Tenant]
		h.hash, err = eventlog.VerifyChain(e.Tenant, h.hash, h.version, []eventlog.Recorded{recorded})
		if err != nil {
			return report, fmt.Errorf("the log was changed: %w", err)
		}
		h.version = e.Version
		heads[e.Tenant] = h
		report.Events++
	}
	report.Tenants = len(heads)
	if tenant != "" && report.Tenants == 0 {
		return report, fmt.Errorf("tenant %s has no events", tenant)
	}
	return report, nil
}

func asRecorded(e client.LogEvent) (eventlog.Recorded, error) {
	hash, err := hex.DecodeString(e.Hash)
	if err != nil {
		return eventlog.Recorded{}, fmt.Errorf("its hash %q: %w", e.Hash, err)
	}
	return eventlog.Recorded{
		Event: events.Event{
			Subject:       e.Tenant,
			Sequence:      e.Version,
			Type:          e.Type,
			Time:          e.Time,
			Actor:         e.Actor,
			CorrelationID: e.CorrelationID,
			CausationID:   e.CausationID,
			Data:          e.Data,
		},
		Hash: hash,
	}, nil
}
