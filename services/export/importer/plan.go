package importer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tenure/services/connectors"
	"tenure/services/export/internal/manifest"
	"tenure/shared/events"
)

// Plan is what an import does, or would do.
type Plan struct {
	ExportID string `json:"export_id"`
	// From is the tenant that the archive is of, To the one that it is loaded into.
	From string `json:"from"`
	To   string `json:"to,omitempty"`
	// Loads are the rows that go into stores, Leaves those that stay in the archive.
	Loads  []Load  `json:"loads"`
	Leaves []Leave `json:"leaves"`
	// Present are the rows that the tenant has already, of the kinds that archives hold: an import wants none.
	Present []Load `json:"present"`
}

// Load is rows of one kind in one store.
type Load struct {
	Store string `json:"store"`
	Kind  string `json:"kind"`
	Rows  int64  `json:"rows"`
}

// Leave is rows that stay in the archive.
type Leave struct {
	Kind string `json:"kind"`
	// Store is the one that they were exported from, where a file has the rows of one alone.
	Store string `json:"store,omitempty"`
	Rows  int64  `json:"rows"`
	Why   string `json:"why"`
}

// Rows are those that are loaded.
func (p Plan) Rows() (n int64) {
	for _, l := range p.Loads {
		n += l.Rows
	}
	return n
}

// Plan tells what would be loaded where, and what not and why. tenant may be empty: then nobody's rows are looked for. Nothing
// is written.
func (a *Archive) Plan(ctx context.Context, stores []connectors.Connector, tenant string) (Plan, error) {
	targets, err := look(ctx, stores, tenant)
	if err != nil {
		return Plan{}, err
	}
	p, _ := a.route(targets)
	p.To = tenant
	return p, nil
}

// target is a store that rows may go into.
type target struct {
	name string
	// loader is nil where the store cannot be loaded.
	loader connectors.Loader
	// counts are the tenant's rows by kind; the kinds are those that the store takes.
	counts connectors.Counts
}

func (t *target) takes(kind string) bool {
	_, ok := t.counts[kind]
	return ok
}

// look asks each store what it has of a tenant, at one point in time.
func look(ctx context.Context, stores []connectors.Connector, tenant string) ([]*target, error) {
	if tenant == "" {
		tenant = events.NoTenant
	}
	targets := make([]*target, len(stores))
	for i, s := range stores {
		snapshot, err := s.Snapshot(ctx, connectors.Tenant(tenant), time.Time{})
		if err != nil {
			return nil, err
		}
		loader, _ := s.(connectors.Loader)
		targets[i] = &target{s.Name(), loader, snapshot.Counts()}
		snapshot.Close()
	}
	return targets, nil
}

// routed is a file and the store that it goes into.
type routed struct {
	file
	to *target
}

// route finds the store of each file.
func (a *Archive) route(targets []*target) (p Plan, files []routed) {
	p = Plan{ExportID: a.manifest.ExportID, From: a.manifest.TenantID, Present: present(targets)}
	for _, f := range a.files {
		to, why := a.target(f, targets)
		if to == nil {
			p.leave(Leave{Kind: f.kind, Store: f.listed.Store, Rows: f.listed.Rows, Why: why})
			continue
		}
		p.load(Load{Store: to.name, Kind: f.kind, Rows: f.listed.Rows})
		files = append(files, routed{f, to})
	}
	return p, files
}

func (p *Plan) load(l Load) {
	for i := range p.Loads {
		if p.Loads[i].Store == l.Store && p.Loads[i].Kind == l.Kind {
			p.Loads[i].Rows += l.Rows
			return
		}
	}
	p.Loads = append(p.Loads, l)
}

func (p *Plan) leave(l Leave) {
	for i := range p.Leaves {
		if p.Leaves[i].Kind == l.Kind && p.Leaves[i].Store == l.Store && p.Leaves[i].Why == l.Why {
			p.Leaves[i].Rows += l.Rows
			return
		}
	}
	p.Leaves = append(p.Leaves, l)
}

func present(targets []*target) (all []Load) {
	for _, t := range targets {
		for kind, rows := range t.counts {
			if rows > 0 {
				all = append(all, Load{t.name, kind, rows})
			}
		}
	}
	slices.SortFunc(all, func(a, b Load) int { return strings.Compare(a.Store+"/"+a.Kind, b.Store+"/"+b.Kind) })
	return all
}

// target is the store of the name that a file was exported from; where the data map has none of those that the file's kind
// came from, the only store that takes the kind. Another system calls its stores otherwise, but rows of two origins must not
// end up in one table because one of the two has no place here. why tells why there is none.
func (a *Archive) target(f file, targets []*target) (to *target, why string) {
	if f.kind == manifest.Audit || f.kind == manifest.Billing {
		return nil, "it is the old tenant's history"
	}
	var taking []*target
	for _, t := range targets {
		if t.takes(f.kind) {
			taking = append(taking, t)
		}
	}
	if at := slices.IndexFunc(taking, func(t *target) bool { return t.name == f.listed.Store }); at >= 0 {
		return loadable(taking[at])
	}
	origins := a.origins(f.kind)
	foreign := !slices.ContainsFunc(taking, func(t *target) bool { return slices.Contains(origins, t.name) })
	switch {
	case len(taking) == 0:
		return nil, "no store of the data map takes rows of this kind"
	case len(origins) > 1 || !foreign:
		return nil, "the store that it comes from is not in the data map"
	case len(taking) > 1:
		return nil, "several stores of the data map take rows of this kind, and none has the name of the store that it comes from"
	}
	return loadable(taking[0])
}

func loadable(t *target) (to *target, why string) {
	if t.loader == nil {
		return nil, fmt.Sprintf("the store %s cannot be loaded into", t.name)
	}
	return t, ""
}

// origins are the stores that the rows of a kind were exported from.
func (a *Archive) origins(kind string) (names []string) {
	for _, f := range a.files {
		if f.kind == kind && !slices.Contains(names, f.listed.Store) {
			names = append(names, f.listed.Store)
		}
	}
	return names
}
