package purge_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tenure/services/deletion/internal/purge"
	"tenure/shared/events"
)

var start = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func at(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }

var (
	policy = purge.Policy{RetentionDays: 30, Region: "eu-central-1", GDPR: true, Plan: "starter", MinDays: 1, MaxDays: 30, Hash: "9c1f4e07ab52d8e3"}
	head   = purge.ChainHead{Version: 49, EventID: "acme.49", Hash: strings.Repeat("ab", 32)}
)

func ptr[T any](v T) *T { return &v }

// whole is a purge in which everything was found empty.
func whole() purge.Purge {
	return purge.Purge{
		Tenant: "acme", Generation: 2, OperationID: "op-9", Policy: policy,
		RequestedAt: at(-60), ScheduledFor: at(0), StartedAt: at(1),
		Participants: []string{"index"},
		Stores: []purge.Store{
			{
				Name: "documents", Kind: "postgres", Targets: []string{"table app.documents"}, Before: ptr[int64](412), CountedAt: at(2),
				After: ptr[int64](0), ReadAt: at(5),
			},
			{Name: "participant/index", After: ptr[int64](0), ReadAt: at(9)},
		},
	}
}

func TestUnfinished(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*purge.Purge)
		want   []string
	}{
		{"all empty", func(*purge.Purge) {}, nil},
		{
			"a store of the map was never looked at", func(p *purge.Purge) { p.Stores = p.Stores[1:] },
			[]string{"documents was not read again"},
		},
		{
			"a store was not looked at since the erasing", func(p *purge.Purge) { p.Stores[0].After = nil },
			[]string{"documents was not read again"},
		},
		{
			"a store holds rows", func(p *purge.Purge) { p.Stores[0].After = ptr[int64](3) },
			[]string{"documents holds 3 rows"},
		},
		{
			"a participant was not heard", func(p *purge.Purge) { p.Stores = p.Stores[:1] },
			[]string{"participant/index was not read again"},
		},
		{
			"a participant's store holds rows", func(p *purge.Purge) { p.Stores[1].After = ptr[int64](1) },
			[]string{"participant/index holds 1 rows"},
		},
		{"a store that has left the map holds rows", func(p *purge.Purge) {
			p.Stores = append(p.Stores, purge.Store{Name: "old", After: ptr[int64](2)})
		}, []string{"old holds 2 rows"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := whole()
			test.change(&p)
			if diff := cmp.Diff(test.want, p.Unfinished([]string{"documents"})); diff != "" {
				t.Errorf("unfinished (-want +got):\n%s", diff)
			}
			_, err := p.Certificate([]string{"documents"}, head, at(10))
			if (err != nil) != (len(test.want) > 0) {
				t.Errorf("certificate: %v", err)
			}
		})
	}
}

func TestVaultCountsWhenItsTurnHasCome(t *testing.T) {
	p := whole()
	p.Stores = append(p.Stores, purge.Store{Name: purge.VaultStore, Before: ptr[int64](1)}) // its erasing was broken off
	if left := p.Unfinished([]string{"documents"}); left != nil {
		t.Errorf("before its turn: %q", left)
	}
	if left := p.Unfinished([]string{"documents", purge.VaultStore}); len(left) != 1 {
		t.Errorf("at its turn: %q", left)
	}
}

func TestCertificateSaysWhatWasDone(t *testing.T) {
	got, err := whole().Certificate([]string{"documents"}, head, at(10))
	if err != nil {
		t.Fatal(err)
	}
	want := purge.Certificate{
		Format: purge.Format, Tenant: "acme", Generation: 2, OperationID: "op-9",
		Policy: policy, RequestedAt: at(-60), ScheduledFor: at(0), StartedAt: at(1), FinishedAt: at(9), IssuedAt: at(10),
		Inventory: []purge.Inventoried{
			{Store: "documents", Kind: "postgres", Targets: []string{"table app.documents"}, Rows: 412, CountedAt: at(2)},
		},
		Stores: []purge.StoreCount{
			{Store: "documents", Before: ptr[int64](412)},
			{Store: "participant/index"},
		},
		Exceptions: got.Exceptions, ChainHead: head,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("certificate (-want +got):\n%s", diff)
	}
	if len(got.Exceptions) == 0 {
		t.Error("nothing is said about what is kept")
	}
}

// TestStoreThatStays is neither unfinished nor erased, but an exception.
func TestStoreThatStays(t *testing.T) {
	p, until := whole(), at(5000)
	p.Stores = append(p.Stores, purge.Store{
		Name: "ledger", Kind: "postgres", Class: "invoices", Stays: "the policy says so", Basis: "§ 147 AO", Until: &until,
		Before: ptr[int64](7), CountedAt: at(2),
	})
	c, err := p.Certificate([]string{"documents", "ledger"}, head, at(10))
	if err != nil {
		t.Fatal(err)
	}
	want := purge.Exception{
		What: "store ledger", Why: "the policy says so", Store: "ledger", Class: "invoices", Basis: "§ 147 AO", Until: &until, Rows: ptr[int64](7),
	}
	if diff := cmp.Diff(want, c.Exceptions[0]); diff != "" {
		t.Errorf("exception (-want +got):\n%s", diff)
	}
	if len(c.Stores) != 2 || len(c.Inventory) != 2 || !c.FinishedAt.Equal(at(9)) {
		t.Errorf("certificate %+v", c)
	}
}

func TestCheckFindsContradictions(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*purge.Certificate)
		want   string
	}{
		{"another format", func(c *purge.Certificate) { c.Format = "receipt/1" }, "format"},
		{"nobody's", func(c *purge.Certificate) { c.Tenant = "" }, "what was deleted"},
		{"no stores", func(c *purge.Certificate) { c.Stores = nil }, "no store"},
		{"rows are left", func(c *purge.Certificate) { c.Stores[0].After = 1 }, "documents holds 1 rows"},
		{"early", func(c *purge.Certificate) { c.StartedAt = at(-1) }, "started_at is before scheduled_for"},
		{"due before it was asked for", func(c *purge.Certificate) { c.RequestedAt = at(1) }, "scheduled_for is before requested_at"},
		{"finished before it began", func(c *purge.Certificate) { c.FinishedAt = at(0) }, "finished_at is before started_at"},
		{"issued too soon", func(c *purge.Certificate) { c.IssuedAt = at(8) }, "issued_at is before finished_at"},
		{"no inventory", func(c *purge.Certificate) { c.Inventory = nil }, "no inventory"},
		{"a store of the inventory was forgotten", func(c *purge.Certificate) {
			c.Inventory = append(c.Inventory, purge.Inventoried{Store: "files"})
		}, "files must be either erased or an exception"},
		{"a store is erased and kept", func(c *purge.Certificate) {
			c.Exceptions = append(c.Exceptions, purge.Exception{What: "store documents", Why: "?", Store: "documents"})
		}, "documents must be either erased or an exception"},
		{"an exception without a reason", func(c *purge.Certificate) { c.Exceptions[0].Why = "" }, "no reason for the exception"},
		{"kept until a time by no law", func(c *purge.Certificate) {
			until := at(100)
			c.Exceptions = append(c.Exceptions, purge.Exception{What: "store files", Why: "?", Store: "files", Until: &until})
		}, `no reason for the exception "store files"`},
		{"by no policy", func(c *purge.Certificate) { c.Policy.Hash = "" }, "which retention policy"},
		{"a log without an end", func(c *purge.Certificate) { c.ChainHead = purge.ChainHead{} }, "where the tenant's log ends"},
		{"a hash that is none", func(c *purge.Certificate) { c.ChainHead.Hash = "ab" }, "hash of the tenant's log"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := whole().Certificate([]string{"documents"}, head, at(10))
			if err != nil {
				t.Fatal(err)
			}
			test.change(&c)
			if err := c.Check(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestAdmitLetsNothingElseDestroy(t *testing.T) {
	admitted := map[string]bool{
		"purge/erase": true, "purge/verify": true, "purge/certify": true,
		"reactivate/erase/fresh": true, "reactivate/verify/fresh": true,
	}
	for _, operation := range []string{"provision", "upgrade", "downgrade", "reactivate", "purge", ""} {
		for _, action := range []string{"provision", "drain", "bill", "switch", "release", "archive", "restore", "export", "erase", "verify", "certify", ""} {
			for suffix, restore := range map[string]*bool{"": nil, "/fresh": ptr(false), "/restore": ptr(true)} {
				if operation == "purge" && suffix != "" {
					continue // a purge says nothing of it
				}
				r := events.StepRequest{Operation: operation, Action: action, RestoreData: restore}
				name := operation + "/" + action + suffix
				if err := purge.Admit(r); (err == nil) != admitted[name] {
					t.Errorf("%s: %v", name, err)
				}
				r.Compensate = true
				if purge.Admit(r) == nil {
					t.Errorf("%s is undone", name)
				}
			}
		}
	}
	// A tenant that was deleted and comes back: nothing of its former life may be there, and it has nothing new yet.
	for generation, ok := range map[int64]bool{1: false, 2: true} {
		r := events.StepRequest{Operation: "provision", Action: "verify", Generation: generation}
		if err := purge.Admit(r); (err == nil) != ok {
			t.Errorf("a verify before life %d: %v", generation, err)
		}
	}
}
