package importer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tenure/services/connectors"
)

// ErrNotEmpty says that the tenant has rows already. Mixed with an archive's, nobody could tell them apart any more.
var ErrNotEmpty = errors.New("the tenant is not empty: import into a fresh one")

// Options of a load.
type Options struct {
	// Resume goes on with an import of the same archive that did not come to its end: the tenant need not be empty.
	Resume bool
	// Begin is called when the tenant was found to be empty, before anything is written: whoever begins again with Resume
	// must know that what is there came from this archive. May be nil.
	Begin func() error
	// Progress is told the rows that were read, of all that are to be loaded. May be nil.
	Progress func(rows, total int64)
}

// Load loads the archive into a tenant, which must exist and be empty, and counts in the end what is there. Again does no
// harm: rows that are there stay as they are. Whatever ends it, an import can be begun again with Resume.
func (a *Archive) Load(ctx context.Context, stores []connectors.Connector, tenant string, o Options) (Plan, error) {
	if err := connectors.CheckTenant(tenant); err != nil {
		return Plan{}, err
	}
	targets, err := look(ctx, stores, tenant)
	if err != nil {
		return Plan{}, err
	}
	p, files := a.route(targets)
	p.To = tenant
	if err := o.begin(p); err != nil {
		return p, err
	}
	l := &load{tenant: tenant, ids: NewIDs(tenant), total: p.Rows(), progress: o.Progress}
	if err := l.units(ctx, unitsOf(files)); err != nil {
		return p, err
	}
	return p, check(ctx, stores, p)
}

// begin lets an import go on, or begin in an empty tenant.
func (o Options) begin(p Plan) error {
	switch {
	case o.Resume:
		return nil
	case len(p.Present) > 0:
		return fmt.Errorf("%w; there are %s", ErrNotEmpty, words(p.Present))
	case o.Begin != nil:
		return o.Begin()
	}
	return nil
}

func words(loads []Load) string {
	texts := make([]string, len(loads))
	for i, l := range loads {
		texts[i] = fmt.Sprintf("%d %s in %s", l.Rows, l.Kind, l.Store)
	}
	return strings.Join(texts, ", ")
}

// check counts what the stores have now. Fewer rows than were loaded are ones whose ids others had already.
func check(ctx context.Context, stores []connectors.Connector, p Plan) error {
	targets, err := look(ctx, stores, p.To)
	if err != nil {
		return err
	}
	var wrong []error
	for _, l := range p.Loads {
		for _, t := range targets {
			if t.name == l.Store && t.counts[l.Kind] != l.Rows {
				wrong = append(wrong, fmt.Errorf("store %s has %d %s, the archive %d: rows with the same ids are there, or the tenant is being written to",
					l.Store, t.counts[l.Kind], l.Kind, l.Rows))
			}
		}
	}
	return errors.Join(wrong...)
}
