package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tenure/services/connectors"
	"tenure/services/export/internal/store"
	"tenure/shared/fault"
)

// sources are what an archive is made from.
type sources struct {
	stores []connectors.Connector
	scope  connectors.Scope
	// since is the time from which on changes are wanted; zero is all.
	since time.Time
	// without are stores that cannot tell one person's rows from another's, and so are not in an archive of one's.
	without []string
}

// errNoSubjects keeps an empty archive from telling a person that there is nothing about him.
var errNoSubjects = fault.Permanent(errors.New("no store tells whose its rows are: name the columns that do in the data map (subject)"))

// sources of a job. What no second try mends is a fault.Permanent.
func (a *App) sources(ctx context.Context, job *store.Job) (s sources, err error) {
	s.scope = connectors.Scope{Tenant: job.TenantID, Subject: job.Subject}
	if s.since, err = a.since(ctx, job); err != nil {
		return s, err
	}
	if job.SubjectSHA256 != "" {
		if s.stores, s.without = withSubjects(a.stores); len(s.stores) == 0 {
			return s, errNoSubjects
		}
		return s, nil
	}
	s.stores = slices.Clone(a.stores)
	for _, name := range job.Participants {
		answer := job.Contributions[name]
		files, err := a.participants.Open(name, answer.At, answer.Result)
		if err != nil {
			return s, err
		}
		s.stores = append(s.stores, files)
	}
	return s, nil
}

func withSubjects(all []connectors.Connector) (with []connectors.Connector, without []string) {
	for _, c := range all {
		if c.Traits().Subjects {
			with = append(with, c)
		} else {
			without = append(without, c.Name())
		}
	}
	return with, without
}

// since is the time from which on a job wants changes: the one that was asked for, or that of the earlier export's snapshot.
// An earlier one that lacks what is wanted now would leave a gap that nobody sees: it is refused.
func (a *App) since(ctx context.Context, job *store.Job) (time.Time, error) {
	if job.SinceExport == "" {
		if job.Since == nil {
			return time.Time{}, nil
		}
		return job.Since.UTC(), nil
	}
	earlier, err := store.Get(ctx, a.db, job.SinceExport)
	if err != nil {
		return time.Time{}, err
	}
	switch {
	case earlier == nil, earlier.TenantID != job.TenantID, earlier.SubjectSHA256 != "":
		return time.Time{}, fault.Permanent(fmt.Errorf("since: the tenant has no export %q; name one of its own, or a time", job.SinceExport))
	case earlier.Status != store.Completed && earlier.Status != store.Expired, earlier.SnapshotAt == nil:
		return time.Time{}, fault.Permanent(fmt.Errorf("since: export %s is %s: it has no archive to go on from", job.SinceExport, earlier.Status))
	case !covers(earlier.Include, job.Include):
		return time.Time{}, fault.Permanent(fmt.Errorf("since: export %s has %s alone; include no more than those, or ask for all without since",
			job.SinceExport, strings.Join(earlier.Include, ", ")))
	}
	return earlier.SnapshotAt.UTC(), nil
}

// covers reports whether an archive of the kinds had has all that are wanted; none are all.
func covers(had, wanted []string) bool {
	if len(had) == 0 {
		return true
	}
	return len(wanted) > 0 && !slices.ContainsFunc(wanted, func(kind string) bool { return !slices.Contains(had, kind) })
}
