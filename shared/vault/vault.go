// Package vault is the one place for personal data: everything else knows tenants by their ids alone. Each life
// (generation) of a tenant has a key of its own; destroying that key erases the person, here and, in time, in every
// backup.
//
// All functions work in the caller's transaction when they are given one, so that a tenant and its contact come
// into being together. The tables are in the schema "vault", whatever the caller's search path.
package vault

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"

	"tenure/shared/pg"
)

// Schema holds the vault's tables.
const Schema = "vault"

var (
	// ErrNotFound says that the tenant never had a contact.
	ErrNotFound = errors.New("vault: no such contact")
	// ErrShredded says that the contact was erased, for good.
	ErrShredded = errors.New("vault: the contact is shredded")
)

// Contact is whom a tenant is to us.
type Contact struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// Entry is the contact of one life of a tenant.
type Entry struct {
	Tenant     string
	Generation int64
	Contact    Contact
}

// Vault seals and opens contacts. It is safe for concurrent use.
type Vault struct {
	master sealer
	// derived is the key that secrets come from; it opens nothing.
	derived []byte
}

//go:embed migrations/*.sql
var migrations embed.FS

// Open brings the vault's tables up to date and answers a vault with this master key: TENURE_VAULT_KEY, 32 bytes in
// base64 or hex. Without the right key nothing that is in there can be read again.
func Open(ctx context.Context, databaseURL, masterKey string) (*Vault, error) {
	key, err := parseKey(masterKey)
	if err != nil {
		return nil, err
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := pg.Migrate(ctx, databaseURL, Schema, files); err != nil {
		return nil, fmt.Errorf("prepare the vault: %w", err)
	}
	derived, err := hkdf.Key(sha256.New, key, nil, "tenure/secrets", keyBytes)
	if err != nil {
		return nil, fmt.Errorf("prepare the vault: %w", err)
	}
	return &Vault{master: newSealer(key), derived: derived}, nil
}

// Secret is 32 bytes that follow from the master key and a name, and from nothing that is stored: the same name has the
// same secret for as long as the master key is the same, and nobody without it can tell one from another.
func (v *Vault) Secret(name string) []byte {
	mac := hmac.New(sha256.New, v.derived)
	mac.Write([]byte(name))
	return mac.Sum(nil)
}

// Put stores a contact in the place of an earlier one. ErrShredded: that life of the tenant was erased.
func (v *Vault) Put(ctx context.Context, q pg.Querier, tenant string, generation int64, c Contact) error {
	return v.PutAll(ctx, q, []Entry{{tenant, generation, c}})
}

// PutAll is Put for many, in one statement. No life of a tenant may be in the batch twice. When one was shredded,
// the answer is ErrShredded and the transaction should be rolled back: the others were stored.
func (v *Vault) PutAll(ctx context.Context, q pg.Querier, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	var (
		tenants         = make([]string, len(entries))
		generations     = make([]int64, len(entries))
		wrapped, sealed = make([][]byte, len(entries)), make([][]byte, len(entries))
		err             error
	)
	for i, e := range entries {
		tenants[i], generations[i] = e.Tenant, e.Generation
		if wrapped[i], sealed[i], err = v.seal(e); err != nil {
			return err
		}
	}
	// The key's row decides whether there is anything to store for: it is locked until the transaction ends, so that
	// a shredding at the same time comes before or after, never between.
	tag, err := q.Exec(ctx, `
		WITH input AS (
			SELECT * FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::bytea[]) AS i (tenant, generation, wrapped, sealed)
		), stored AS (
			INSERT INTO vault.keys AS k (tenant, generation, wrapped)
			SELECT tenant, generation, wrapped FROM input
			ON CONFLICT (tenant, generation) DO UPDATE SET wrapped = EXCLUDED.wrapped WHERE k.shredded_at IS NULL
			RETURNING k.tenant, k.generation
		)
		INSERT INTO vault.contacts (tenant, generation, sealed)
		SELECT tenant, generation, sealed FROM input JOIN stored USING (tenant, generation)
		ON CONFLICT (tenant, generation) DO UPDATE SET sealed = EXCLUDED.sealed`,
		tenants, generations, wrapped, sealed)
	if err != nil {
		return fmt.Errorf("vault: store %d contacts: %w", len(entries), err)
	}
	if tag.RowsAffected() < int64(len(entries)) {
		return ErrShredded
	}
	return nil
}

// Get opens a contact. It answers ErrNotFound or ErrShredded when there is none.
func (v *Vault) Get(ctx context.Context, q pg.Querier, tenant string, generation int64) (Contact, error) {
	var wrapped, sealed []byte
	err := q.QueryRow(ctx, `
		SELECT k.wrapped, c.sealed FROM vault.keys k LEFT JOIN vault.contacts c USING (tenant, generation)
		WHERE k.tenant = $1 AND k.generation = $2`, tenant, generation).Scan(&wrapped, &sealed)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Contact{}, ErrNotFound
	case err != nil:
		return Contact{}, fmt.Errorf("vault: read the contact of %s: %w", tenant, err)
	case wrapped == nil:
		return Contact{}, ErrShredded
	case sealed == nil:
		return Contact{}, ErrNotFound
	}
	return v.open(tenant, generation, wrapped, sealed)
}

// GetAll opens the contacts of many tenants, each in its latest life. Those that have none, or whose was shredded,
// are not in the answer.
func (v *Vault) GetAll(ctx context.Context, q pg.Querier, tenants []string) (map[string]Contact, error) {
	rows, err := q.Query(ctx, `
		SELECT DISTINCT ON (k.tenant) k.tenant, k.generation, k.wrapped, c.sealed
		FROM vault.keys k LEFT JOIN vault.contacts c USING (tenant, generation)
		WHERE k.tenant = ANY ($1) ORDER BY k.tenant, k.generation DESC`, tenants)
	if err != nil {
		return nil, fmt.Errorf("vault: read %d contacts: %w", len(tenants), err)
	}
	stored, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return nil, fmt.Errorf("vault: read %d contacts: %w", len(tenants), err)
	}
	contacts := make(map[string]Contact, len(stored))
	for _, r := range stored {
		if r.Wrapped == nil || r.Sealed == nil {
			continue
		}
		if contacts[r.Tenant], err = v.open(r.Tenant, r.Generation, r.Wrapped, r.Sealed); err != nil {
			return nil, err
		}
	}
	return contacts, nil
}

// row is a stored contact with its key.
type row struct {
	Tenant          string
	Generation      int64
	Wrapped, Sealed []byte
}

// Shred destroys the keys of this life of a tenant and of those before, and what they opened. Again does no harm.
func (v *Vault) Shred(ctx context.Context, q pg.Querier, tenant string, generation int64) error {
	// The keys first: should the second statement never run, what it leaves can be read by nobody.
	for _, sql := range []string{
		`UPDATE vault.keys SET wrapped = NULL, shredded_at = now() WHERE tenant = $1 AND generation <= $2 AND shredded_at IS NULL`,
		`DELETE FROM vault.contacts WHERE tenant = $1 AND generation <= $2`,
	} {
		if _, err := q.Exec(ctx, sql, tenant, generation); err != nil {
			return fmt.Errorf("vault: shred the contact of %s: %w", tenant, err)
		}
	}
	return nil
}

// searchPage is how many contacts are read at a time.
const searchPage = 1000

// Search finds contacts whose name or address contains text, whatever the case: at most limit of them, by tenant id,
// after the id `after` (empty: from the first). What is sealed has no index, so that every contact is opened: some
// 100,000 take a second.
func (v *Vault) Search(ctx context.Context, q pg.Querier, text, after string, limit int) ([]Entry, error) {
	text = strings.ToLower(text)
	var found []Entry
	last := row{Tenant: after, Generation: 1<<63 - 1}
	for {
		rows, err := q.Query(ctx, `
			SELECT k.tenant, k.generation, k.wrapped, c.sealed FROM vault.keys k JOIN vault.contacts c USING (tenant, generation)
			WHERE k.wrapped IS NOT NULL AND (k.tenant, k.generation) > ($1, $2) ORDER BY k.tenant, k.generation LIMIT $3`,
			last.Tenant, last.Generation, searchPage)
		if err != nil {
			return nil, fmt.Errorf("vault: search: %w", err)
		}
		page, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
		if err != nil {
			return nil, fmt.Errorf("vault: search: %w", err)
		}
		for _, r := range page {
			c, err := v.open(r.Tenant, r.Generation, r.Wrapped, r.Sealed)
			if err != nil {
				return nil, err
			}
			if !strings.Contains(strings.ToLower(c.Name), text) && !strings.Contains(strings.ToLower(c.Email), text) {
				continue
			}
			if found = append(found, Entry{r.Tenant, r.Generation, c}); len(found) == limit {
				return found, nil
			}
		}
		if len(page) < searchPage {
			return found, nil
		}
		last = page[len(page)-1]
	}
}

// seal encrypts a contact with a new key, and that key with the master key.
func (v *Vault) seal(e Entry) (wrapped, sealed []byte, err error) {
	plain, err := json.Marshal(e.Contact)
	if err != nil {
		return nil, nil, fmt.Errorf("vault: encode a contact: %w", err)
	}
	key := newKey()
	return v.master.seal(key, boundTo("key", e.Tenant, e.Generation)),
		newSealer(key).seal(plain, boundTo("contact", e.Tenant, e.Generation)), nil
}

func (v *Vault) open(tenant string, generation int64, wrapped, sealed []byte) (Contact, error) {
	key, err := v.master.open(wrapped, boundTo("key", tenant, generation))
	if err != nil {
		return Contact{}, fmt.Errorf("vault: the key of %s cannot be unwrapped: is TENURE_VAULT_KEY the one that it was stored with? %w", tenant, err)
	}
	plain, err := newSealer(key).open(sealed, boundTo("contact", tenant, generation))
	if err != nil {
		return Contact{}, fmt.Errorf("vault: the contact of %s was tampered with: %w", tenant, err)
	}
	var c Contact
	if err := json.Unmarshal(plain, &c); err != nil {
		return Contact{}, fmt.Errorf("vault: decode the contact of %s: %w", tenant, err)
	}
	return c, nil
}
