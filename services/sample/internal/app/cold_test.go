package app_test

import (
	"context"
	"errors"
	"maps"
	"testing"

	"tenure/services/sample/internal/store"
)

func (w *world) hint(name string) {
	w.t.Helper()
	if err := w.Hints()[name](w.t.Context(), "acme"); err != nil {
		w.t.Fatalf("%s: %v", name, err)
	}
}

func (w *world) wantTier(want string) {
	w.t.Helper()
	if got, err := w.route("acme"); err != nil || got.Tier != want {
		w.t.Errorf("the tier is %q, %v; want %q", got.Tier, err, want)
	}
}

// Every kind of request is a use: what was made small is back before it is answered.
func TestAColdArchiveIsBackAfterTheFirstUse(t *testing.T) {
	w := archivedTo(t)
	warm := maps.Clone(w.archives)
	for name, use := range map[string]func() error{
		"list":  func() error { _, err := w.List(t.Context(), "acme", "", 1); return err },
		"query": func() error { _, err := w.Query(t.Context(), "acme", "", 0); return err },
		"usage": func() error { _, _, err := w.Usage(t.Context(), "acme"); return err },
		"hint":  func() error { w.hint("tenant.warmed"); return nil },
	} {
		w.hint("tenant.cooled")
		w.hint("tenant.cooled") // told again
		w.wantTier(store.Cold)
		if maps.Equal(w.archives, warm) {
			t.Errorf("%s: nothing was made small", name)
		}
		if err := use(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		w.wantTier(store.Warm)
		if !maps.Equal(w.archives, warm) {
			t.Errorf("%s: the archive is %v", name, w.archives)
		}
	}
}

// away is an archive that cannot be reached for some calls, or in which something happens meanwhile.
type away struct {
	archive
	fail      error
	meanwhile func()
}

func (a *away) Cool(ctx context.Context, tenant string) error {
	if a.meanwhile != nil {
		a.meanwhile()
	}
	return errors.Join(a.fail, a.archive.Cool(ctx, tenant))
}

func (a *away) Warm(ctx context.Context, tenant string) error {
	if a.fail != nil {
		return a.fail
	}
	return a.archive.Warm(ctx, tenant)
}

// A request does not fail because the archive is away, and the next use goes on.
func TestAnArchiveThatIsAwayIsBroughtBackByALaterUse(t *testing.T) {
	w := archivedTo(t)
	warm, objects := maps.Clone(w.archives), &away{archive: w.archives}
	w.App = w.with(objects)
	w.hint("tenant.cooled")
	objects.fail = errors.New("away")
	w.documents("acme")
	w.wantTier(store.Warming)
	if err := w.Hints()["tenant.warmed"](t.Context(), "acme"); !errors.Is(err, objects.fail) {
		t.Errorf("the hint ends with %v", err)
	}
	objects.fail = nil
	w.documents("acme")
	w.wantTier(store.Warm)
	if !maps.Equal(w.archives, warm) {
		t.Errorf("the archive is %v", w.archives)
	}
}

// A use comes while the archive is being made small: it finds nothing small yet, and what is made small behind it must not
// stay so.
func TestAUseInTheMiddleOfCoolingWins(t *testing.T) {
	w := archivedTo(t)
	warm, objects := maps.Clone(w.archives), &away{archive: w.archives}
	w.App = w.with(objects)
	objects.meanwhile = func() { w.documents("acme") }
	w.hint("tenant.cooled")
	w.wantTier(store.Warm)
	if !maps.Equal(w.archives, warm) {
		t.Errorf("the archive is %v", w.archives)
	}
}

func TestHintsAboutATenantThatIsNotHere(t *testing.T) {
	w := newWorld(t)
	w.App = w.with(&away{archive: w.archives, fail: errors.New("must not be asked")})
	w.hint("tenant.cooled")
	w.hint("tenant.warmed")
}
