// Package api is the deletion service's HTTP side: certificates, the keys to check them with, and the erasure of persons.
package api

import (
	"context"
	"encoding/base64"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/deletion/internal/app"
	"tenure/services/deletion/internal/certificate"
	"tenure/services/deletion/internal/purge"
	"tenure/services/deletion/internal/store"
	"tenure/shared/auth"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/problem"
)

// API is safe for concurrent use.
type API struct {
	DB  *pgxpool.Pool
	App *app.App
}

// Register adds the routes.
func (a *API) Register(api huma.API) {
	// What is signed is served byte by byte, so that huma cannot tell its schema from the output's type.
	schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Certificate](), true, "Certificate")
	huma.Register(api, huma.Operation{
		OperationID: "get-deletion-certificate", Method: http.MethodGet, Path: "/v1/tenants/{id}/deletion/certificate",
		Summary: "The signed proof that everything of a tenant was erased",
		Responses: map[string]*huma.Response{
			"200": {Description: "OK", Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}},
		},
	}, a.certificate)
	huma.Register(api, huma.Operation{
		OperationID: "list-signing-keys", Method: http.MethodGet, Path: "/v1/keys",
		Summary:  "The public keys that certificates are or were signed with, the newest first",
		Security: []map[string][]string{}, // open to all: who checks a certificate may be anybody
	}, a.keys)
	a.registerSubjects(api)
}

// Certificate is the signed document.
type Certificate struct {
	purge.Certificate
	Signature
}

// Signature is what every signed document has besides its content.
type Signature struct {
	KeyID     string `json:"key_id" doc:"The first 16 bytes of the key's SHA-256, in hex"`
	PublicKey string `json:"public_key" doc:"Ed25519, in base64"`
	Signed    string `json:"signature" doc:"Over the canonical form (RFC 8785) of everything else, in base64"`
}

type certificateInput struct {
	ID         string `path:"id"`
	Generation int64  `query:"generation" minimum:"0" doc:"Which life of the tenant; 0 is the last that was purged"`
	Class      string `query:"class" maxLength:"64" doc:"The proof that this class of data is gone, too, which had to be kept for longer"`
}

type certificateOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (a *API) certificate(ctx context.Context, in *certificateInput) (*certificateOutput, error) {
	if err := reachable(auth.FromContext(ctx), in.ID); err != nil {
		return nil, err
	}
	read := store.Certificate
	if in.Class != "" {
		read = func(ctx context.Context, q pg.Querier, tenant string, generation int64) ([]byte, bool, error) {
			return store.RetentionCertificate(ctx, q, tenant, generation, in.Class)
		}
	}
	document, found, err := read(ctx, a.DB, in.ID, in.Generation)
	if err != nil {
		return nil, unavailable(err)
	}
	if !found {
		return nil, problem.New(http.StatusNotFound, "certificate_not_found", "no deletion of this tenant was certified")
	}
	return &certificateOutput{ContentType: "application/json", Body: document}, nil
}

// reachable refuses ids that are none, and tenants that the caller may not know of.
func reachable(caller auth.Principal, tenant string) error {
	if !events.ValidTenantID(tenant) {
		return problem.New(http.StatusUnprocessableEntity, "invalid_tenant_id", "a tenant id has 1 to 64 letters, digits, _ or -")
	}
	if !caller.MayReach(tenant) {
		return errUnknownTenant()
	}
	return nil
}

// errUnknownTenant has the same bytes here and in the lifecycle's routes, for an id that does not exist and for another's.
func errUnknownTenant() error {
	return problem.New(http.StatusNotFound, "tenant_not_found", "there is no such tenant")
}

// Key is a public key that certificates are, or were, signed with.
type Key struct {
	KeyID     string `json:"key_id"`
	Algorithm string `json:"algorithm" enum:"Ed25519"`
	PublicKey string `json:"public_key" doc:"32 bytes in base64"`
}

type keysOutput struct {
	Body struct {
		Items []Key `json:"items"`
	}
}

func (a *API) keys(ctx context.Context, _ *struct{}) (*keysOutput, error) {
	keys, err := store.SigningKeys(ctx, a.DB)
	if err != nil {
		return nil, unavailable(err)
	}
	out := &keysOutput{}
	out.Body.Items = make([]Key, len(keys))
	for i, key := range keys {
		out.Body.Items[i] = Key{certificate.KeyID(key), "Ed25519", base64.StdEncoding.EncodeToString(key)}
	}
	return out, nil
}

// unavailable answers 503 when the database is away, so that callers try again, and hides everything else.
func unavailable(err error) error {
	if pg.IsUnavailable(err) {
		return problem.New(http.StatusServiceUnavailable, problem.CodeUnavailable, "the service cannot reach its database; try again")
	}
	return err
}
