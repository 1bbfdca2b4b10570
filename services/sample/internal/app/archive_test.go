package app_test

import (
	"fmt"
	"testing"

	"tenure/services/sample/internal/store"
	"tenure/shared/fault"
	"tenure/shared/gate"
	"tenure/shared/participant"
)

func (w *world) documents(tenant string) float64 {
	w.t.Helper()
	used, _, err := w.Usage(w.t.Context(), tenant)
	if err != nil {
		w.t.Fatal(err)
	}
	return used[gate.Documents]
}

// archivedTo is a tenant that went down to free with 60 documents of ten bytes, of which ten are in the archive.
func archivedTo(t *testing.T) *world {
	w := newWorld(t)
	w.signUp("acme", "starter")
	if err := w.Seed(t.Context(), "acme", 60, 10, 0); err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"provision", "archive", "drain", "switch", "release"} {
		w.do(step("acme", "down", "downgrade", action, "starter", "free"))
	}
	if got := w.documents("acme"); got != 50 || len(w.archives) != 1 {
		t.Fatalf("%v documents in use, archives %v", got, w.archives)
	}
	return w
}

func up(action string) participant.Step {
	return step("acme", "up", "upgrade", action, "free", "starter")
}

func TestWhatWasArchivedComesBackOnAnUpgrade(t *testing.T) {
	w := archivedTo(t)
	for _, action := range []string{"provision", "drain", "switch", "restore", "restore"} {
		w.do(up(action))
	}
	if got := w.documents("acme"); got != 60 || len(w.archives) != 1 {
		t.Errorf("%v documents in use, archives %v", got, w.archives)
	}
	w.do(up("release"))
	w.do(up("release"))
	if len(w.archives) != 0 {
		t.Errorf("still in the archive: %v", w.archives)
	}
	listed, err := w.List(t.Context(), "acme", "", 100)
	if err != nil || len(listed) != 60 {
		t.Errorf("%d documents are listed, %v", len(listed), err)
	}
}

func TestAnUpgradeThatFailsPutsBackWhatItBroughtBack(t *testing.T) {
	w := archivedTo(t)
	for _, action := range []string{"provision", "drain", "switch", "restore"} {
		w.do(up(action))
	}
	for _, action := range []string{"restore", "restore", "switch", "drain", "provision"} {
		w.do(undo(up(action)))
	}
	if got := w.documents("acme"); got != 50 || len(w.archives) != 1 {
		t.Errorf("%v documents in use, archives %v", got, w.archives)
	}
	w.wantRoute("acme", "free", "free")
	w.do(undo(step("acme", "down", "downgrade", "archive", "starter", "free"))) // they are in their own archive again
	if got := w.documents("acme"); got != 60 {
		t.Errorf("%v documents in use", got)
	}
}

func TestARestoreTakesWhatFitsTheNewestFirst(t *testing.T) {
	w := archivedTo(t)
	limits := gate.Limits{gate.Documents: 55}
	restore := func() (freed store.Freed) {
		err := w.store.As(t.Context(), "acme", func(tx store.Tx) (err error) {
			if freed, err = tx.Restore(t.Context(), limits); err != nil {
				return err
			}
			emptied, err := tx.Emptied(t.Context())
			if err == nil && len(emptied) > 0 && w.documents("acme") < 60 {
				err = fmt.Errorf("archives %v count as empty", emptied)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return freed
	}
	if got := restore(); got.Documents != -5 {
		t.Errorf("brought back %+v", got)
	}
	if got := restore(); got.Documents != 0 {
		t.Errorf("then %+v", got)
	}
	limits = gate.Limits{gate.StorageGB: 560 / store.BytesPerGB} // six more of ten bytes, were there room for all of them
	if got := restore(); got.Documents != -1 {
		t.Errorf("by size %+v", got)
	}
	bad := up("restore")
	bad.ToPlan = "gold"
	if err := w.try(t.Context(), bad); !fault.IsPermanent(err) {
		t.Errorf("a plan without limits: %v", err)
	}
}
