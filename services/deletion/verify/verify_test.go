package verify_test

import (
	"encoding/base64"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tenure/services/deletion/internal/certificate"
	"tenure/services/deletion/internal/purge"
	"tenure/services/deletion/verify"
	"tenure/shared/retention"
)

var due = time.Date(2026, 5, 31, 12, 0, 0, 0, time.UTC)

var (
	policy = verify.Policy{RetentionDays: 30, MinDays: 1, MaxDays: 90, Hash: "9c1f4e07ab52d8e3"}
	head   = verify.ChainHead{Version: 49, EventID: "acme.49", Hash: strings.Repeat("0b", 32)}
)

func content(t *testing.T) purge.Certificate {
	t.Helper()
	before, after := int64(412), int64(0)
	p := purge.Purge{
		Tenant: "acme", Generation: 1, OperationID: "op-1", Policy: policy,
		RequestedAt: due.AddDate(0, 0, -30), ScheduledFor: due, StartedAt: due.Add(time.Second),
		Stores: []purge.Store{
			{Name: "documents", Before: &before, CountedAt: due.Add(2 * time.Second), After: &after, ReadAt: due.Add(time.Minute)},
			{Name: "participant/index", After: &after, ReadAt: due.Add(time.Minute)},
		},
	}
	c, err := p.Certificate(nil, head, due.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func sign(t *testing.T, content any) (document []byte, publicKey string) {
	t.Helper()
	s, err := certificate.ParseSigner(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("a", 32))))
	if err != nil {
		t.Fatal(err)
	}
	document, err = s.Sign(content)
	if err != nil {
		t.Fatal(err)
	}
	return document, base64.StdEncoding.EncodeToString(s.PublicKey())
}

func TestCertificate(t *testing.T) {
	document, publicKey := sign(t, content(t))
	key, err := verify.ParseKey(publicKey)
	if err != nil {
		t.Fatal(err)
	}
	got, err := verify.Certificate(document, key)
	if err != nil {
		t.Fatal(err)
	}
	want := verify.Report{
		Kind: verify.Deletion, TenantID: "acme", Generation: 1, OperationID: "op-1", RequestedAt: due.AddDate(0, 0, -30), ScheduledFor: due,
		FinishedAt: due.Add(time.Minute), Stores: 2, Erased: 412, Policy: policy, Exceptions: content(t).Exceptions,
		ChainHead: head, KeyID: certificate.KeyID(key), Trusted: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if got, err := verify.Certificate(document); err != nil || got.Trusted {
		t.Errorf("without a key: trusted %v, %v", got.Trusted, err)
	}
}

// TestTamperedCertificate changes every byte of a certificate in turn. Only a change that leaves the meaning alone may
// pass: of white space.
func TestTamperedCertificate(t *testing.T) {
	document, _ := sign(t, content(t))
	genuine, err := verify.Certificate(document)
	if err != nil {
		t.Fatal(err)
	}
	for i := range document {
		changed := []byte(string(document))
		changed[i] ^= 1
		got, err := verify.Certificate(changed)
		if err != nil && !errors.Is(err, verify.ErrInvalid) {
			t.Fatalf("byte %d: %v", i, err)
		}
		if err == nil && !cmp.Equal(got, genuine) {
			t.Errorf("byte %d, %q, was changed unseen", i, document[i])
		}
	}
}

func TestGenuineButNoProof(t *testing.T) {
	for name, change := range map[string]func(*purge.Certificate){
		"rows are left":  func(c *purge.Certificate) { c.Stores[0].After = 1 },
		"begun too soon": func(c *purge.Certificate) { c.StartedAt = due.Add(-time.Second) },
		"another kind":   func(c *purge.Certificate) { c.Format = "" },
	} {
		t.Run(name, func(t *testing.T) {
			c := content(t)
			change(&c)
			document, _ := sign(t, c)
			if _, err := verify.Certificate(document); !errors.Is(err, verify.ErrInvalid) {
				t.Errorf("verified: %v", err)
			}
		})
	}
}

// TestOldCertificate was issued before certificates had an inventory.
func TestOldCertificate(t *testing.T) {
	document, err := os.ReadFile("testdata/certificate-1.json")
	if err != nil {
		t.Fatal(err)
	}
	_, publicKey := sign(t, content(t))
	key, err := verify.ParseKey(publicKey)
	if err != nil {
		t.Fatal(err)
	}
	got, err := verify.Certificate(document, key)
	if err != nil || got.Kind != verify.Deletion || got.Stores != 2 || got.Erased != 412 || len(got.Exceptions) != 3 || got.ChainHead.Version != 49 {
		t.Errorf("report %+v, %v", got, err)
	}
}

func TestRetentionCertificate(t *testing.T) {
	before, after := int64(7), int64(0)
	r := purge.Retention{
		Tenant: "acme", Generation: 1, OperationID: "op-1-invoices", Class: "invoices", Basis: "§ 147 AO", Until: due, Stores: []string{"ledger"},
	}
	c, err := r.Certificate([]purge.Store{{Name: "ledger", Before: &before, After: &after, ReadAt: due.Add(time.Minute)}}, due.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	document, _ := sign(t, c)
	got, err := verify.Certificate(document)
	if err != nil {
		t.Fatal(err)
	}
	want := verify.Report{
		Kind: verify.Retention, TenantID: "acme", Generation: 1, OperationID: "op-1-invoices", Class: "invoices", Basis: "§ 147 AO",
		ScheduledFor: due, FinishedAt: due.Add(time.Minute), Stores: 1, Erased: 7, KeyID: got.KeyID,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	c.Until = due.Add(2 * time.Minute)
	if document, _ = sign(t, c); !errors.Is(errOf(verify.Certificate(document)), verify.ErrInvalid) {
		t.Error("data that was erased before its time passes")
	}
}

func TestReceipt(t *testing.T) {
	before, after := int64(7), int64(0)
	s := purge.Subject{
		RequestID: "r-1", Tenant: "acme", Key: "ann@example.com", RequestedAt: due, DueBy: retention.MonthAfter(due),
		Stores: []purge.Store{
			{Name: "documents", Before: &before, After: &after, ReadAt: due.Add(time.Minute)},
			{Name: "files", Stays: "it does not name the persons whose rows it holds"},
		},
	}
	r, err := s.Receipt(due.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	document, _ := sign(t, r)
	if strings.Contains(string(document), "ann@") {
		t.Error("the receipt names the person")
	}
	got, err := verify.Certificate(document)
	if err != nil {
		t.Fatal(err)
	}
	want := verify.Report{
		Kind: verify.Subject, TenantID: "acme", OperationID: "r-1", RequestedAt: due, DueBy: retention.MonthAfter(due),
		FinishedAt: due.Add(time.Minute), Stores: 1, Erased: 7, Exceptions: r.Exceptions, KeyID: got.KeyID,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	r.Stores[0].After = 1
	if document, _ = sign(t, r); !errors.Is(errOf(verify.Certificate(document)), verify.ErrInvalid) {
		t.Error("a receipt with rows left passes")
	}
}

func errOf(_ verify.Report, err error) error { return err }

func TestParseKeyRefusesOthers(t *testing.T) {
	for _, text := range []string{"", "?", base64.StdEncoding.EncodeToString([]byte("short"))} {
		if _, err := verify.ParseKey(text); err == nil {
			t.Errorf("%q is taken for a key", text)
		}
	}
}
