package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Document is one version of a document.
type Document struct {
	ID        string
	Name      string
	Content   string
	Metadata  json.RawMessage
	CreatedAt time.Time
}

// InsertDocument adds a version to the capacity that serves; it is the current one of its name from now on.
func (tx Tx) InsertDocument(ctx context.Context, name, content string) (Document, error) {
	id, err := uuid.NewV7() // grows with time: a list in the order of ids is in the order of arrival
	if err != nil {
		return Document{}, fmt.Errorf("make a document's id: %w", err)
	}
	d := Document{ID: id.String(), Name: name, Content: content}
	err = tx.QueryRow(ctx, `INSERT INTO documents (tenant_id, capacity, id, name, content) SELECT tenant_id, serving, $1, $2, $3 FROM tenants
		RETURNING metadata, created_at`, d.ID, name, content).Scan(&d.Metadata, &d.CreatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return Document{}, ErrNoRoute
	}
	if err != nil {
		return Document{}, fmt.Errorf("insert document: %w", err)
	}
	return d, nil
}

// current selects the newest version of each name. It looks each up in an index; written as a join, it could be planned
// as one of all documents with all.
const current = `SELECT id, name, content, metadata, created_at FROM documents d
	WHERE archived_by IS NULL AND id = (SELECT newest.id FROM documents newest
		WHERE newest.tenant_id = d.tenant_id AND newest.name = d.name AND newest.archived_by IS NULL
		ORDER BY newest.created_at DESC, newest.id DESC LIMIT 1)`

// Documents lists current documents with an id above after, in the order of ids.
func (tx Tx) Documents(ctx context.Context, after string, limit int) ([]Document, error) {
	return tx.documents(ctx, current+` AND id > $1 ORDER BY id LIMIT $2`, after, limit)
}

// Search lists current documents that have q in their name or content, whatever the case.
func (tx Tx) Search(ctx context.Context, q string, limit int) ([]Document, error) {
	return tx.documents(ctx, current+` AND (strpos(lower(name), lower($1)) > 0 OR strpos(lower(content), lower($1)) > 0)
		ORDER BY id LIMIT $2`, q, limit)
}

func (tx Tx) documents(ctx context.Context, sql string, args ...any) ([]Document, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read documents: %w", err)
	}
	documents, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Document])
	if err != nil {
		return nil, fmt.Errorf("read documents: %w", err)
	}
	return documents, nil
}

// dimensions of a seeded vector.
const dimensions = 64

// Seed makes documents of bytesEach characters and vectors, inside the server: a gigabyte need not travel. The contents
// are hashes, no two alike: text that repeats itself would lie compressed to almost nothing, and as little would move.
func (tx Tx) Seed(ctx context.Context, documents, bytesEach, vectors int) error {
	batch, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make a seed's id: %w", err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO documents (tenant_id, capacity, id, name, content)
		SELECT tenant_id, serving, $1 || '-' || lpad(i::text, 8, '0'), 'seed ' || $1 || ' ' || i,
			left((SELECT string_agg(encode(sha512(($1 || i || '.' || part)::bytea), 'hex'), '') FROM generate_series(0, $3 / 128) AS part), $3)
		FROM tenants, generate_series(1, $2) AS i`, batch.String(), documents, bytesEach)
	if err != nil {
		return fmt.Errorf("seed documents: %w", err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO vectors (tenant_id, capacity, id, values)
		SELECT tenant_id, serving, $1 || '-' || lpad(i::text, 8, '0'), (SELECT array_agg(sin(i * d)::real) FROM generate_series(1, $3) AS d)
		FROM tenants, generate_series(1, $2) AS i`, batch.String(), vectors, dimensions)
	if err != nil {
		return fmt.Errorf("seed vectors: %w", err)
	}
	return nil
}
