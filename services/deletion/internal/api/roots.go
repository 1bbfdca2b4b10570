package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/deletion/internal/app"
	"tenure/services/deletion/internal/roots"
	"tenure/services/deletion/internal/store"
	"tenure/shared/auth"
	"tenure/shared/fault"
	"tenure/shared/problem"
)

// Roots serves the signed roots of the log. It is safe for concurrent use.
type Roots struct {
	DB     *pgxpool.Pool
	Bucket app.Bucket
}

// Register adds the routes.
func (r *Roots) Register(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "list-roots", Method: http.MethodGet, Path: "/v1/roots",
		Summary: "The signed roots of the log, one of each day, the oldest first",
	}, r.list)
	// What is signed is served byte by byte, so that huma cannot tell its schema from the output's type.
	schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[SignedRoot](), true, "SignedRoot")
	huma.Register(api, huma.Operation{
		OperationID: "get-root", Method: http.MethodGet, Path: "/v1/roots/{date}",
		Summary: "The signed root of a day: no tenant's log was cut, rewritten or removed behind it",
		Responses: map[string]*huma.Response{
			"200": {Description: "OK", Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}},
		},
	}, r.get)
	huma.Register(api, huma.Operation{
		OperationID: "get-root-leaves", Method: http.MethodGet, Path: "/v1/roots/{date}/leaves",
		Summary: "What a root is made of: the end of each tenant's log, as gzipped lines of JSON",
		Responses: map[string]*huma.Response{
			"200": {Description: "OK", Content: map[string]*huma.MediaType{"application/gzip": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}},
		},
	}, r.leaves)
}

// SignedRoot is the signed document.
type SignedRoot struct {
	roots.Root
	KeyID     string `json:"key_id" doc:"The first 16 bytes of the key's SHA-256, in hex"`
	PublicKey string `json:"public_key" doc:"Ed25519, in base64"`
	Signature string `json:"signature" doc:"Over the canonical form (RFC 8785) of everything else, in base64"`
}

// RootItem is a root in a list.
type RootItem struct {
	Date    string    `json:"date" doc:"The UTC day that had ended"`
	TakenAt time.Time `json:"taken_at"`
	roots.Summary
	SHA256      string     `json:"sha256" doc:"Of the signed document, in hex: what the next root names"`
	LockedUntil *time.Time `json:"locked_until,omitempty" doc:"Until when the bucket lets nobody delete it"`
}

type rootsInput struct {
	Cursor string `query:"cursor" doc:"next_cursor of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

type rootsOutput struct {
	Body struct {
		Items      []RootItem `json:"items"`
		NextCursor *string    `json:"next_cursor"`
	}
}

func (r *Roots) list(ctx context.Context, in *rootsInput) (*rootsOutput, error) {
	if err := operatorsOnly(ctx); err != nil {
		return nil, err
	}
	page, err := store.Roots(ctx, r.DB, in.Cursor, in.Limit+1)
	if err != nil {
		return nil, unavailable(err)
	}
	out := &rootsOutput{}
	if len(page) > in.Limit {
		page = page[:in.Limit]
		out.Body.NextCursor = &page[in.Limit-1].Date
	}
	out.Body.Items = make([]RootItem, len(page))
	for i, root := range page {
		content, _, err := roots.Open(root.Document)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(root.Document)
		out.Body.Items[i] = RootItem{content.Date, content.TakenAt, content.Summary, hex.EncodeToString(sum[:]), content.LockedUntil}
	}
	return out, nil
}

type rootInput struct {
	Date string `path:"date" maxLength:"32" doc:"As the list has it: 2026-01-31"`
}

func (r *Roots) get(ctx context.Context, in *rootInput) (*certificateOutput, error) {
	root, err := r.find(ctx, in.Date)
	if err != nil {
		return nil, err
	}
	return &certificateOutput{ContentType: "application/json", Body: root.Document}, nil
}

func (r *Roots) leaves(ctx context.Context, in *rootInput) (*huma.StreamResponse, error) {
	root, err := r.find(ctx, in.Date)
	if err != nil {
		return nil, err
	}
	body, err := r.Bucket.Open(ctx, roots.LeavesKey(root.Date))
	if _, waits := fault.Delay(err); waits {
		return nil, problem.New(http.StatusServiceUnavailable, problem.CodeUnavailable, "the object store does not answer; try again")
	}
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(out huma.Context) {
		defer body.Close()
		out.SetHeader("Content-Type", "application/gzip")
		_, _ = io.Copy(out.BodyWriter(), body) // cut short, the file is no gzip: its reader sees that
	}}, nil
}

func (r *Roots) find(ctx context.Context, date string) (*store.DailyRoot, error) {
	if err := operatorsOnly(ctx); err != nil {
		return nil, err
	}
	root, err := store.Root(ctx, r.DB, date)
	if err != nil {
		return nil, unavailable(err)
	}
	if root == nil {
		return nil, problem.New(http.StatusNotFound, "root_not_found", "there is no root of that day; GET /v1/roots lists them")
	}
	return root, nil
}

// operatorsOnly refuses tenants' tokens: what is asked for is about all tenants.
func operatorsOnly(ctx context.Context) error {
	if !auth.FromContext(ctx).IsOperator() {
		return problem.New(http.StatusForbidden, "forbidden", "an operator's token is needed")
	}
	return nil
}
