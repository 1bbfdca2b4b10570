package vault_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/shared/pg"
	"tenure/shared/testkit"
	"tenure/shared/vault"
)

var (
	master = bytes.Repeat([]byte{7}, 32)
	ada    = vault.Contact{Name: "Ada Lovelace", Email: "ada@example.org"}
	grace  = vault.Contact{Name: "Grace Hopper", Email: "grace@example.org"}
)

const soon = 10 * time.Second

func open(t *testing.T) (*vault.Vault, *pgxpool.Pool) {
	t.Helper()
	dbURL := testkit.Postgres(t)
	v, err := vault.Open(t.Context(), dbURL, base64.StdEncoding.EncodeToString(master))
	if err != nil {
		t.Fatal(err)
	}
	db, err := pg.Open(t.Context(), dbURL, "another_service") // the caller's search path does not matter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return v, db
}

func TestContactComesBackAndIsReplaced(t *testing.T) {
	v, db := open(t)
	put(t, v, db, "acme", 1, ada)
	wantContact(t, v, db, "acme", 1, ada)
	put(t, v, db, "acme", 1, grace)
	wantContact(t, v, db, "acme", 1, grace)
	wantError(t, v, db, "acme", 2, vault.ErrNotFound)
	wantError(t, v, db, "other", 1, vault.ErrNotFound)
}

func TestContactLivesAndDiesWithTheTransaction(t *testing.T) {
	v, db := open(t)
	undone := errors.New("undone")
	err := pg.WithTx(t.Context(), db, func(tx pgx.Tx) error {
		if err := v.Put(t.Context(), tx, "acme", 1, ada); err != nil {
			return err
		}
		return undone
	})
	if !errors.Is(err, undone) {
		t.Fatal(err)
	}
	wantError(t, v, db, "acme", 1, vault.ErrNotFound)
}

func TestShreddingIsForGoodAndForThatLifeAlone(t *testing.T) {
	v, db := open(t)
	put(t, v, db, "acme", 1, ada)
	put(t, v, db, "other", 1, grace)
	for range 2 { // again does no harm
		if err := v.Shred(t.Context(), db, "acme", 1); err != nil {
			t.Fatal(err)
		}
		wantError(t, v, db, "acme", 1, vault.ErrShredded)
	}
	if err := v.Put(t.Context(), db, "acme", 1, ada); !errors.Is(err, vault.ErrShredded) {
		t.Errorf("a late Put: %v, want ErrShredded", err)
	}
	var left int
	if err := db.QueryRow(t.Context(), "SELECT count(*) FROM vault.contacts WHERE tenant = 'acme'").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows are left (%v)", left, err)
	}
	put(t, v, db, "acme", 2, grace) // born again
	wantContact(t, v, db, "acme", 2, grace)
	wantContact(t, v, db, "other", 1, grace)
	if err := v.Shred(t.Context(), db, "unknown", 1); err != nil {
		t.Errorf("shred nothing: %v", err)
	}
}

// A Put that began first must not leave a readable contact behind a Shred.
func TestShreddingWaitsForAPutUnderWay(t *testing.T) {
	v, db := open(t)
	put(t, v, db, "acme", 1, ada)
	tx, err := db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if err := v.Put(t.Context(), tx, "acme", 1, grace); err != nil {
		t.Fatal(err)
	}
	shredded := make(chan error, 1)
	go func() { shredded <- v.Shred(context.Background(), db, "acme", 1) }()
	testkit.WaitFor(t, soon, "the shredding waits", func() bool {
		var n int
		err := db.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()").Scan(&n)
		return err == nil && n == 1
	})
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := testkit.Receive(t, soon, shredded); err != nil {
		t.Fatal(err)
	}
	wantError(t, v, db, "acme", 1, vault.ErrShredded)
	var left int
	if err := db.QueryRow(t.Context(), "SELECT count(*) FROM vault.contacts").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows are left (%v)", left, err)
	}
}

func TestBatch(t *testing.T) {
	v, db := open(t)
	var entries []vault.Entry
	for i := range 1000 {
		entries = append(entries, vault.Entry{Tenant: fmt.Sprintf("t%03d", i), Generation: 1, Contact: vault.Contact{Name: fmt.Sprint("n", i)}})
	}
	if err := v.PutAll(t.Context(), db, entries); err != nil {
		t.Fatal(err)
	}
	if err := v.PutAll(t.Context(), db, nil); err != nil {
		t.Errorf("an empty batch: %v", err)
	}
	put(t, v, db, "t001", 2, ada)
	if err := v.Shred(t.Context(), db, "t002", 1); err != nil {
		t.Fatal(err)
	}
	got, err := v.GetAll(t.Context(), db, []string{"t000", "t001", "t002", "unknown"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]vault.Contact{"t000": {Name: "n0"}, "t001": ada}, got); diff != "" {
		t.Errorf("-want +got: %s", diff)
	}
	if err := v.PutAll(t.Context(), db, entries); !errors.Is(err, vault.ErrShredded) {
		t.Errorf("a batch with a shredded one: %v, want ErrShredded", err)
	}
}

func TestSearch(t *testing.T) {
	v, db := open(t)
	var entries []vault.Entry
	for i := range 2500 { // three pages
		entries = append(entries, vault.Entry{Tenant: fmt.Sprintf("t%04d", i), Generation: 1, Contact: vault.Contact{Name: "Nobody"}})
	}
	entries[10].Contact, entries[1200].Contact, entries[2400].Contact, entries[2401].Contact = ada, grace, ada, ada
	if err := v.PutAll(t.Context(), db, entries); err != nil {
		t.Fatal(err)
	}
	if err := v.Shred(t.Context(), db, "t2401", 1); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		text, after string
		limit       int
		want        []string
	}{
		{"LOVELACE", "", 10, []string{"t0010", "t2400"}},
		{"@example", "", 10, []string{"t0010", "t1200", "t2400"}},
		{"@example", "", 2, []string{"t0010", "t1200"}},
		{"@example", "t1200", 2, []string{"t2400"}},
		{"%", "", 10, nil},
	} {
		found, err := v.Search(t.Context(), db, test.text, test.after, test.limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range found {
			got = append(got, e.Tenant)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%q after %q: -want +got: %s", test.text, test.after, diff)
		}
	}
}

func TestNothingReadableIsStored(t *testing.T) {
	v, db := open(t)
	put(t, v, db, "acme", 1, ada)
	put(t, v, db, "again", 1, ada)
	var dump, a, b string
	err := db.QueryRow(t.Context(), `SELECT string_agg(encode(sealed, 'escape') || encode(wrapped, 'escape'), ' ')
		FROM vault.contacts JOIN vault.keys USING (tenant, generation)`).Scan(&dump)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(dump, "Ada") || strings.Contains(dump, "example.org") {
		t.Error("the contact can be read in the table")
	}
	err = db.QueryRow(t.Context(), `SELECT min(encode(sealed, 'hex')), max(encode(sealed, 'hex')) FROM vault.contacts`).Scan(&a, &b)
	if err != nil || a == b {
		t.Errorf("equal contacts look equal (%v)", err)
	}
}

func TestMovedCiphertextDoesNotOpen(t *testing.T) {
	v, db := open(t)
	put(t, v, db, "acme", 1, ada)
	put(t, v, db, "other", 1, grace)
	for _, sql := range []string{
		"UPDATE vault.contacts SET sealed = (SELECT sealed FROM vault.contacts WHERE tenant = 'acme') WHERE tenant = 'other'",
		"UPDATE vault.keys SET wrapped = (SELECT wrapped FROM vault.keys WHERE tenant = 'acme') WHERE tenant = 'other'",
	} {
		if _, err := db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
		if c, err := v.Get(t.Context(), db, "other", 1); err == nil {
			t.Errorf("another tenant's contact opened: %v", c)
		}
	}
}

func TestMasterKey(t *testing.T) {
	dbURL := testkit.Postgres(t)
	db, err := pg.Open(t.Context(), dbURL, "public")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	for _, text := range []string{"", "short", base64.StdEncoding.EncodeToString(master[:31]), strings.Repeat("x", 64)} {
		if _, err := vault.Open(t.Context(), dbURL, text); err == nil || !strings.Contains(err.Error(), "TENURE_VAULT_KEY") {
			t.Errorf("key %q: %v", text, err)
		}
	}
	for i, text := range []string{hex.EncodeToString(master), base64.RawURLEncoding.EncodeToString(master) + "\n"} {
		v, err := vault.Open(t.Context(), dbURL, text)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			put(t, v, db, "acme", 1, ada)
		}
		wantContact(t, v, db, "acme", 1, ada)
	}
	other, err := vault.Open(t.Context(), dbURL, strings.Repeat("ab", 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Get(t.Context(), db, "acme", 1); err == nil || !strings.Contains(err.Error(), "TENURE_VAULT_KEY") {
		t.Errorf("another master key: %v", err)
	}
}

func put(t *testing.T, v *vault.Vault, q pg.Querier, tenant string, generation int64, c vault.Contact) {
	t.Helper()
	if err := v.Put(t.Context(), q, tenant, generation, c); err != nil {
		t.Fatal(err)
	}
}

func wantContact(t *testing.T, v *vault.Vault, q pg.Querier, tenant string, generation int64, want vault.Contact) {
	t.Helper()
	got, err := v.Get(t.Context(), q, tenant, generation)
	if err != nil || got != want {
		t.Errorf("%s in life %d: %+v (%v), want %+v", tenant, generation, got, err, want)
	}
}

func wantError(t *testing.T, v *vault.Vault, q pg.Querier, tenant string, generation int64, want error) {
	t.Helper()
	if c, err := v.Get(t.Context(), q, tenant, generation); !errors.Is(err, want) {
		t.Errorf("%s in life %d: %+v, %v; want %v", tenant, generation, c, err, want)
	}
}

func TestSecretsFollowFromTheMasterKey(t *testing.T) {
	v, _ := open(t)
	again, _ := open(t)
	if s := v.Secret("webhook/1"); len(s) != 32 || !bytes.Equal(s, again.Secret("webhook/1")) || bytes.Equal(s, v.Secret("webhook/2")) {
		t.Error("a secret is not its name's alone")
	}
	dbURL := testkit.Postgres(t)
	other, err := vault.Open(t.Context(), dbURL, base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{8}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(v.Secret("webhook/1"), other.Secret("webhook/1")) {
		t.Error("another master key has the same secret")
	}
}
