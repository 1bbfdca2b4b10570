package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tenure/services/deletion/internal/purge"
	"tenure/services/deletion/verify"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/testkit"
	"tenure/shared/vault"
)

func TestPurge(t *testing.T) {
	documents, files := &fakeStore{name: "documents", rows: 412}, &fakeStore{name: "files", rows: 7}
	w := newWorld(t, documents, files)
	w.start(w.app)
	w.purge(1, "index", "cache")
	w.send(step("erase"))
	facts := w.wantTold("store.erased", "store.erased", events.StepCompletedName)
	for i, want := range []events.StoreErased{
		{Store: "documents", Before: 412, OperationID: "op"}, {Store: "files", Before: 7, OperationID: "op"},
	} {
		got, err := facts[i].Payload()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("fact (-want +got):\n%s", diff)
		}
	}
	answer, err := facts[2].DecodeAnswer()
	if err != nil || string(answer.Result) != `{"before":419,"after":0}` || answer.StepID != "op-erase" || answer.Participant != "deletion" {
		t.Errorf("answer %+v, result %s, %v", answer, answer.Result, err)
	}
	if facts[2].CausationID != "acme.2" || facts[2].CorrelationID != "command-1" || facts[2].Actor != "service:deletion" {
		t.Errorf("the answer names %+v", facts[2].Event)
	}

	w.send(participantDone("index", "erase", `{"before":5,"after":0}`))
	w.send(participantDone("cache", "erase", `null`))
	w.send(participantDone("index", "verify", `{"after":0}`))
	w.send(step("verify"))
	w.wantTold(events.StepCompletedName)

	w.send(step("certify"))
	told := w.wantTold("certificate.issued", events.StepCompletedName)
	answer, err = told[1].DecodeAnswer()
	if err != nil {
		t.Fatal(err)
	}
	var result struct{ Key, SHA256 string }
	if err := json.Unmarshal(answer.Result, &result); err != nil || result.Key != "certificates/acme/1.json" || len(result.SHA256) != 64 {
		t.Errorf("result %s: %v", answer.Result, err)
	}
	if _, err := w.vault.Get(t.Context(), w.db, tenant, 1); !errors.Is(err, vault.ErrShredded) {
		t.Errorf("the contact: %v", err)
	}
	wantCertificate(t, w)
}

func wantCertificate(t *testing.T, w *world) {
	t.Helper()
	document := w.documents.get("certificates/acme/1.json")
	report, err := verify.Certificate(document, w.signer.PublicKey())
	if err != nil {
		t.Fatalf("%v in %s", err, document)
	}
	if report.TenantID != tenant || report.Erased != 412+7+5+1 || report.Stores != 5 {
		t.Errorf("report %+v", report)
	}
	var c purge.Certificate
	if err := json.Unmarshal(document, &c); err != nil {
		t.Fatal(err)
	}
	count := func(n int64) *int64 { return &n }
	want := []purge.StoreCount{
		{Store: "documents", Before: count(412)},
		{Store: "files", Before: count(7)},
		{Store: "participant/cache"},
		{Store: "participant/index", Before: count(5)},
		{Store: "tenure/vault", Before: count(1)},
	}
	if diff := cmp.Diff(want, c.Stores); diff != "" {
		t.Errorf("stores (-want +got):\n%s", diff)
	}
	allowed := w.policy.For("eu-central-1", "starter", true)
	policy := purge.Policy{
		RetentionDays: 30, Region: "eu-central-1", GDPR: true, Plan: "starter", MinDays: allowed.Min, MaxDays: allowed.Max, Hash: w.policy.Hash(),
	}
	if c.ChainHead != w.chainHead(7) || c.Policy != policy {
		t.Errorf("certificate %s", document)
	}
	wantInventory := []purge.Inventoried{
		{Store: "documents", Targets: []string{}, Rows: 412},
		{Store: "files", Targets: []string{}, Rows: 7},
		{Store: "tenure/vault", Kind: "vault", Targets: []string{"the key of the tenant's name and address"}, Rows: 1},
	}
	if diff := cmp.Diff(wantInventory, c.Inventory, cmpopts.IgnoreFields(purge.Inventoried{}, "CountedAt")); diff != "" {
		t.Errorf("inventory (-want +got):\n%s", diff)
	}
	for _, personal := range []string{"Ann", "example.com"} {
		if strings.Contains(string(document), personal) {
			t.Errorf("the certificate tells %q", personal)
		}
	}
}

func TestStepAskedAgainIsAnsweredAgain(t *testing.T) {
	s := &fakeStore{name: "documents", rows: 3}
	w := newWorld(t, s)
	w.start(w.app)
	w.purge(1)
	w.send(step("erase"))
	first := w.wantAnswer(events.StepCompletedName)
	w.send(step("erase"))
	second := w.wantTold(events.StepCompletedName)
	if again, err := second[0].DecodeAnswer(); err != nil || !cmp.Equal(first, again) {
		t.Errorf("answered %+v, then %+v, %v", first, again, err)
	}
	if _, erased := s.state(); erased != 1 {
		t.Errorf("erased %d times", erased)
	}
}

// TestStoreThatLies keeps its rows though it says that it erased them.
func TestStoreThatLies(t *testing.T) {
	liar, honest := &fakeStore{name: "documents", rows: 3, keeps: 3}, &fakeStore{name: "files", rows: 2}
	w := newWorld(t, liar, honest)
	w.start(w.app)
	w.purge(1)
	w.send(step("erase"))
	w.wantTold("store.erased", "store.erased", events.StepCompletedName)

	// For ever: it never passes for deleted.
	liar.set(func() { liar.rows, liar.keeps = 2, 1<<30 })
	w.send(step("verify"))
	answer := w.wantAnswer(events.StepFailedName)
	if !strings.Contains(answer.Error, "store documents says that it erased everything, but holds 2 rows") || answer.Permanent {
		t.Errorf("answer %+v", answer)
	}
	w.send(step("certify"))
	if answer := w.wantAnswer(events.StepFailedName); !strings.Contains(answer.Error, "documents holds 2 rows") {
		t.Errorf("answer %+v", answer)
	}
	if _, err := w.vault.Get(t.Context(), w.db, tenant, 1); err != nil {
		t.Errorf("the contact is gone before the rest: %v", err)
	}

	// Asked again, it goes on.
	liar.set(func() { liar.keeps = 0 })
	w.finishFrom("verify", "certify")
	report, err := verify.Certificate(w.documents.get("certificates/acme/1.json"))
	if err != nil || report.Erased != 3+2+1 {
		t.Errorf("report %+v, %v", report, err)
	}
}

func (w *world) finishFrom(actions ...string) {
	w.Helper()
	for _, action := range actions {
		s := step(action)
		s.Generation = w.generation
		w.send(s)
		if a := w.wantAnswer(events.StepCompletedName); a.StepID != "op-"+action {
			w.Fatalf("answered %+v", a)
		}
	}
}

func TestStoreThatFails(t *testing.T) {
	down := &fakeStore{name: "documents", rows: 3, fail: fault.RetryAfter(errors.New("no answer"), 1)}
	other := &fakeStore{name: "files", rows: 2}
	w := newWorld(t, down, other)
	w.start(w.app)
	w.purge(1)
	w.send(step("erase"))
	told := w.wantTold(events.StepFailedName)
	if a, err := told[0].DecodeAnswer(); err != nil || a.Error != "no answer" {
		t.Errorf("answer %+v, %v", a, err)
	}
	if rows, _ := other.state(); rows != 0 {
		t.Error("the other store waits")
	}
	if _, tries := down.state(); tries != 5 {
		t.Errorf("tried %d times", tries)
	}
	down.set(func() { down.fail = nil })
	w.finishFrom("erase", "verify", "certify")
}

// TestLateWriter writes between the erasing and its verification.
func TestLateWriter(t *testing.T) {
	s := &fakeStore{name: "documents", rows: 3}
	w := newWorld(t, s)
	w.start(w.app)
	w.purge(1)
	w.finishFrom("erase")
	s.set(func() { s.rows = 1 })
	w.finishFrom("verify", "certify")
	if rows, _ := s.state(); rows != 0 {
		t.Errorf("%d rows are left", rows)
	}
}

func TestParticipantThatLeavesRowsBehind(t *testing.T) {
	w := newWorld(t, &fakeStore{name: "documents", rows: 3})
	w.start(w.app)
	w.purge(1, "index", "cache")
	w.finishFrom("erase", "verify")
	w.send(participantDone("index", "verify", `{"before":9,"after":4}`))
	w.send(step("certify"))
	answer := w.wantAnswer(events.StepFailedName)
	for _, want := range []string{"participant/index holds 4 rows", "participant/cache was not read again"} {
		if !strings.Contains(answer.Error, want) {
			t.Errorf("answer %q lacks %q", answer.Error, want)
		}
	}
	w.quiet()
}

func TestCertifyOfNoPurge(t *testing.T) {
	w := newWorld(t, &fakeStore{name: "documents"})
	w.start(w.app)
	w.send(step("certify"))
	if a := w.wantAnswer(events.StepFailedName); !a.Permanent {
		t.Errorf("answer %+v", a)
	}
}

// TestNothingElseErases asks for an erasing where data must stay.
func TestNothingElseErases(t *testing.T) {
	s := &fakeStore{name: "documents", rows: 3}
	w := newWorld(t, s)
	w.start(w.app)
	upgrade, restore := step("erase"), step("erase")
	upgrade.Operation = "upgrade"
	yes := true
	restore.Operation, restore.RestoreData = "reactivate", &yes
	for _, p := range []*events.StepRequested{upgrade, restore} {
		w.send(p)
		if a := w.wantAnswer(events.StepFailedName); !a.Permanent {
			t.Errorf("answer %+v", a)
		}
	}
	other := step("erase")
	other.Participant = "index"
	w.send(other)
	w.quiet()
	if rows, erased := s.state(); rows != 3 || erased != 0 {
		t.Errorf("%d rows are left after %d calls", rows, erased)
	}
}

// TestCertificateSurvivesALostUpload: what was signed first is what counts.
func TestCertificateSurvivesALostUpload(t *testing.T) {
	w := newWorld(t, &fakeStore{name: "documents", rows: 3})
	w.documents.fail = context.DeadlineExceeded
	w.start(w.app)
	w.purge(1)
	w.finish()
	heal := testkit.FailQuery(t, w.db, testkit.Failure{Table: "deletion.certificates", Op: "INSERT"})
	defer heal()
	w.send(step("certify")) // nothing is signed anew
	w.wantTold(events.StepCompletedName)
}
