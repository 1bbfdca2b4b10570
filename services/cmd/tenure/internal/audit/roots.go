package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tenure/services/deletion/verify"
	"tenure/shared/client"
)

// Source has the signed roots of the log.
type Source interface {
	// Dates lists the days that have a root, the oldest first.
	Dates(ctx context.Context) iter.Seq2[string, error]
	Root(ctx context.Context, date string) ([]byte, error)
	Leaves(ctx context.Context, date string) (io.ReadCloser, error)
}

// Live are the roots as the API has them.
type Live struct{ Client *client.Client }

// Dates implements Source.
func (l Live) Dates(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for root, err := range l.Client.Roots(ctx) {
			if !yield(root.Date, err) {
				return
			}
		}
	}
}

// Root implements Source.
func (l Live) Root(ctx context.Context, date string) ([]byte, error) { return l.Client.Root(ctx, date) }

// Leaves implements Source.
func (l Live) Leaves(ctx context.Context, date string) (io.ReadCloser, error) {
	content, err := l.Client.RootLeaves(ctx, date)
	return io.NopCloser(bytes.NewReader(content)), err
}

// Dir are roots in a directory: a copy of the bucket's roots/, kept where who can change the log cannot reach it.
type Dir string

// Dates implements Source.
func (d Dir) Dates(context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		files, err := filepath.Glob(filepath.Join(string(d), "*.json"))
		if err == nil && len(files) == 0 {
			err = fmt.Errorf("%s holds no root: copy the bucket's roots/ there", string(d))
		}
		if err != nil {
			yield("", err)
			return
		}
		for _, file := range files { // Glob sorts them
			if !yield(strings.TrimSuffix(filepath.Base(file), ".json"), nil) {
				return
			}
		}
	}
}

// Root implements Source.
func (d Dir) Root(_ context.Context, date string) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(d), date+".json"))
}

// Leaves implements Source.
func (d Dir) Leaves(_ context.Context, date string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(string(d), date+".ndjson.gz"))
}

// Roots are genuine roots, and what they say that the log must hold.
type Roots struct {
	Checked int
	// Newest is the last of them: it says nothing of what came later. Trusted: every one is signed by a key that the
	// caller named.
	Newest  verify.Root
	Trusted bool

	// links are those that the log must have, by tenant.
	links map[string][]link
}

// link is an event that was the newest of its tenant at the end of a day.
type link struct {
	version int64
	hash    string
	date    string // of the first root that names it
}

// ReadRoots checks the signatures of the roots of day since and later, or of all when it is "", that they are a chain,
// and that each one's leaves are those that were signed. It keeps what they say of one tenant, or of all when tenant is
// "". With keys, every root must be signed by one of them.
func ReadRoots(ctx context.Context, source Source, since, tenant string, keys ...ed25519.PublicKey) (*Roots, error) {
	r := &Roots{Trusted: true, links: map[string][]link{}}
	for date, err := range source.Dates(ctx) {
		if err != nil {
			return nil, err
		}
		if date < since {
			continue
		}
		if err := r.read(ctx, source, date, since == "", tenant, keys); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *Roots) read(ctx context.Context, source Source, date string, whole bool, tenant string, keys []ed25519.PublicKey) error {
	document, err := source.Root(ctx, date)
	if err != nil {
		return err
	}
	root, err := verify.LogRoot(document, keys...)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", date, err)
	case root.Date != date:
		return fmt.Errorf("%s: %w: it is the root of %s", date, verify.ErrInvalidRoot, root.Date)
	case r.Checked > 0:
		err = root.Follows(r.Newest)
	case whole && root.Previous != "":
		err = fmt.Errorf("%w: %s follows %s, which is not there; name the first day to look at with --since", verify.ErrInvalidRoot, date, root.Previous)
	}
	if err != nil {
		return err
	}
	leaves, err := source.Leaves(ctx, date)
	if err != nil {
		return err
	}
	defer leaves.Close()
	r.Checked, r.Newest, r.Trusted = r.Checked+1, root, r.Trusted && root.Trusted
	return root.Heads(leaves, func(h verify.Head) error {
		if tenant == "" || tenant == h.Tenant {
			r.expect(h, date)
		}
		return nil
	})
}

// expect keeps a head, unless the roots before have named it already: most tenants' logs end where they did the day
// before.
func (r *Roots) expect(h verify.Head, date string) {
	links := r.links[h.Tenant]
	if !slices.ContainsFunc(links, func(l link) bool { return l.version == h.Version && l.hash == h.Hash }) {
		r.links[h.Tenant] = append(links, link{h.Version, h.Hash, date})
	}
}

// ErrBehindRoots is in every error that says that the log is not what a root has seen.
var ErrBehindRoots = errors.New("the log was cut, rewritten or removed behind a signed root")

// shown is how many tenants an error names.
const shown = 10

// against compares what the roots name with the tenants' logs.
func (r *Roots) against(logs map[string]*chain) error {
	var wrong []error
	for tenant, links := range r.links {
		for _, l := range links {
			if err := l.against(tenant, logs[tenant]); err != nil {
				wrong = append(wrong, err)
				break
			}
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.SortFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	if more := len(wrong) - shown; more > 0 {
		wrong = append(wrong[:shown], fmt.Errorf("and %d tenants more", more))
	}
	return fmt.Errorf("%w:\n%w", ErrBehindRoots, errors.Join(wrong...))
}

func (l link) against(tenant string, log *chain) error {
	switch {
	case log == nil:
		return fmt.Errorf("tenant %s is gone: the root of %s has seen %d events of it", tenant, l.date, l.version)
	case log.version < l.version:
		return fmt.Errorf("tenant %s: its log ends with version %d, but the root of %s has seen version %d", tenant, log.version, l.date, l.version)
	case log.named[l.version] != l.hash:
		return fmt.Errorf("tenant %s: version %d is another than the root of %s has seen: it or one before it was rewritten", tenant, l.version, l.date)
	}
	return nil
}
