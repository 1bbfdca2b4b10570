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
	// Roots is how many signed roots the log was held against, NewestRoot the day of the last one: what came later is
	// covered by the hash chain alone. KeyID is the key that signed it; Trusted: the caller has named the keys.
	Roots      int    `json:"roots"`
	NewestRoot string `json:"newest_root,omitempty"`
	KeyID      string `json:"key_id,omitempty"`
	Trusted    bool   `json:"trusted"`
}

// VerifyLog recomputes the hash chain of one tenant, or of all when tenant is empty, and holds it against the roots. The
// error says where the log is not what was written.
func VerifyLog(ctx context.Context, c *client.Client, tenant string, signed *Roots) (Report, error) {
	report := Report{Roots: signed.Checked, NewestRoot: signed.Newest.Date, KeyID: signed.Newest.KeyID, Trusted: signed.Checked > 0 && signed.Trusted}
	chains := map[string]*chain{}
	for e, err := range c.Events(ctx, client.EventFilter{Tenant: tenant}) {
		if err != nil {
			return report, err
		}
		if chains[e.Tenant] == nil {
			chains[e.Tenant] = newChain(signed.links[e.Tenant])
		}
		if err := chains[e.Tenant].add(e); err != nil {
			return report, err
		}
		report.Events++
	}
	report.Tenants = len(chains)
	if err := signed.against(chains); err != nil {
		return report, err
	}
	if tenant != "" && report.Tenants == 0 {
		return report, fmt.Errorf("tenant %s has no events", tenant)
	}
	return report, nil
}

// chain is one tenant's log as far as it was read.
type chain struct {
	hash    []byte
	version int64
	// named are the hashes of the versions that a root names, in hex; "" until they are read.
	named map[int64]string
}

func newChain(links []link) *chain {
	c := &chain{named: make(map[int64]string, len(links))}
	for _, l := range links {
		c.named[l.version] = ""
	}
	return c
}

func (c *chain) add(e client.LogEvent) error {
	recorded, err := asRecorded(e)
	if err != nil {
		return fmt.Errorf("tenant %s, version %d: %w", e.Tenant, e.Version, err)
	}
	c.hash, err = eventlog.VerifyChain(e.Tenant, c.hash, c.version, []eventlog.Recorded{recorded})
	if err != nil {
		return fmt.Errorf("the log was changed: %w", err)
	}
	c.version = e.Version
	if _, ok := c.named[e.Version]; ok {
		c.named[e.Version] = hex.EncodeToString(c.hash)
	}
	return nil
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
