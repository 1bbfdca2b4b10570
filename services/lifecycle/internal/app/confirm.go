package app

import (
	"context"

	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/vault"
)

// mayName reports whether a command's confirm may be the name that the tenant registered by.
func mayName(id string, payload events.Payload) (confirm string, ok bool) {
	p, ok := payload.(*events.Delete)
	if !ok || p.Confirm == "" || p.Confirm == id {
		return "", false
	}
	return p.Confirm, true
}

// namesFor opens the names that a batch's deletions may be confirmed by, all in one query; none when nothing is confirmed by
// name. They are compared and forgotten: no event may have them.
func (e *Engine) namesFor(ctx context.Context, q pg.Querier, batch []*pending) (map[string]vault.Contact, error) {
	var ids []string
	for _, w := range batch {
		if _, ok := mayName(w.Tenant, w.Payload); ok {
			ids = append(ids, w.Tenant)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return e.vault.GetAll(ctx, q, ids)
}

// named reports whether the command is confirmed by the tenant's name.
func named(id string, payload events.Payload, names map[string]vault.Contact) bool {
	confirm, ok := mayName(id, payload)
	return ok && confirm == names[id].Name
}
