package auth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/golang-jwt/jwt/v5"

	"tenure/shared/auth"
	"tenure/shared/problem"
)

const secret = "0123456789abcdef0123456789abcdef"

func TestWhatAPrincipalMay(t *testing.T) {
	operator := auth.Principal{Kind: auth.Operator, Subject: "ada"}
	acme := auth.Principal{Kind: auth.Tenant, Tenant: "acme", Subject: "u1"}
	for _, test := range []struct {
		p           auth.Principal
		actor       string
		acme, other bool
	}{
		{operator, "operator:ada", true, true},
		{acme, "tenant:acme", true, false},
		{auth.Principal{}, "", false, false},
		{auth.Principal{Tenant: "acme"}, "", false, false},
	} {
		if got := test.p.Actor(); got != test.actor {
			t.Errorf("%+v: actor %q, want %q", test.p, got, test.actor)
		}
		if test.p.MayReach("acme") != test.acme || test.p.MayReach("other") != test.other {
			t.Errorf("%+v reaches the wrong tenants", test.p)
		}
	}
	if (auth.Principal{Kind: auth.Tenant}).MayReach("") {
		t.Error("a tenant without id reaches the tenant without id")
	}
}

func TestDevTokensWorkInDevelopmentAlone(t *testing.T) {
	dev := verifier(t, auth.Settings{Env: "dev"})
	wantPrincipal(t, dev, "dev", auth.Principal{Kind: auth.Operator, Subject: "dev"})
	wantPrincipal(t, dev, "dev:acme", auth.Principal{Kind: auth.Tenant, Tenant: "acme", Subject: "acme"})
	wantPrincipal(t, dev, "dev+bob", auth.Principal{Kind: auth.Operator, Subject: "bob"})
	for _, token := range []string{"", "dev:", "dev:a.b", "dev:*", "devil", "DEV", "dev+", "dev+a b", "dev+a@b"} {
		wantRefusal(t, dev, token, http.StatusUnauthorized)
	}
	production := verifier(t, auth.Settings{Env: "production", Key: secret})
	wantRefusal(t, production, "dev", http.StatusUnauthorized)
	wantRefusal(t, production, "dev+bob", http.StatusUnauthorized)
	wantRefusal(t, production, "dev:acme", http.StatusUnauthorized)
}

func TestLocalKeys(t *testing.T) {
	private, public := ed25519PEM(t)
	for name, keys := range map[string]struct{ mint, check string }{
		"secret":                  {secret, secret},
		"Ed25519":                 {private, private},
		"Ed25519, its public key": {private, public},
	} {
		t.Run(name, func(t *testing.T) {
			key := parse(t, keys.mint)
			v := verifier(t, auth.Settings{Key: keys.check})
			for _, p := range []auth.Principal{
				{Kind: auth.Operator, Subject: "ada"},
				{Kind: auth.Tenant, Tenant: "acme", Subject: "u1"},
			} {
				wantPrincipal(t, v, mint(t, key, p, time.Minute), p)
				wantRefusal(t, v, mint(t, key, p, -time.Hour), http.StatusUnauthorized)
			}
			wantRefusal(t, v, mint(t, parse(t, strings.Repeat("other", 10)), auth.Principal{Kind: auth.Operator, Subject: "eve"}, time.Minute), http.StatusUnauthorized)
		})
	}
	if _, err := parse(t, public).Mint(auth.Principal{Kind: auth.Operator}, time.Minute); err == nil {
		t.Error("a public key minted a token")
	}
}

// A public key is no secret: a token signed with its text as an HMAC secret must not pass.
func TestTokenCannotChooseItsAlgorithm(t *testing.T) {
	_, public := ed25519PEM(t)
	v := verifier(t, auth.Settings{Key: public})
	c := jwt.MapClaims{"iss": "tenure", "aud": "tenure", "sub": "eve", "roles": auth.OperatorRole, "exp": time.Now().Add(time.Hour).Unix()}
	forged, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte(strings.TrimSpace(public)))
	if err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, v, forged, http.StatusUnauthorized)
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, c).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, v, unsigned, http.StatusUnauthorized)
}

func TestClaims(t *testing.T) {
	v := verifier(t, auth.Settings{Key: secret})
	hour := time.Now().Add(time.Hour).Unix()
	operator := auth.Principal{Kind: auth.Operator, Subject: "s"}
	for _, test := range []struct {
		name   string
		change jwt.MapClaims
		want   auth.Principal
		status int
	}{
		{name: "roles as a list", change: jwt.MapClaims{"roles": []string{"x", auth.OperatorRole}}, want: operator},
		{name: "scope as words", change: jwt.MapClaims{"scope": "openid " + auth.OperatorRole}, want: operator},
		{name: "scp", change: jwt.MapClaims{"scp": []string{auth.OperatorRole}}, want: operator},
		{name: "a tenant with the role", change: jwt.MapClaims{"tenant": "acme", "roles": auth.OperatorRole}, want: auth.Principal{Kind: auth.Tenant, Tenant: "acme", Subject: "s"}},
		{name: "nothing of ours", status: http.StatusForbidden},
		{name: "a role that only begins like it", change: jwt.MapClaims{"roles": auth.OperatorRole + "s"}, status: http.StatusForbidden},
		{name: "roles of a strange form", change: jwt.MapClaims{"roles": map[string]any{auth.OperatorRole: true}}, status: http.StatusForbidden},
		{name: "no tenant's id", change: jwt.MapClaims{"tenant": "a.>"}, status: http.StatusUnauthorized},
		{name: "no subject", change: jwt.MapClaims{"sub": "", "tenant": "acme"}, status: http.StatusUnauthorized},
		{name: "no expiry", change: jwt.MapClaims{"exp": nil, "tenant": "acme"}, status: http.StatusUnauthorized},
		{name: "another audience", change: jwt.MapClaims{"aud": "x", "tenant": "acme"}, status: http.StatusUnauthorized},
		{name: "another issuer", change: jwt.MapClaims{"iss": "x", "tenant": "acme"}, status: http.StatusUnauthorized},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := jwt.MapClaims{"iss": "tenure", "aud": "tenure", "sub": "s", "exp": hour}
			for k, v := range test.change {
				if v == nil {
					delete(c, k)
				} else {
					c[k] = v
				}
			}
			token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte(secret))
			if err != nil {
				t.Fatal(err)
			}
			if test.status != 0 {
				wantRefusal(t, v, token, test.status)
			} else {
				wantPrincipal(t, v, token, test.want)
			}
		})
	}
}

func TestIssuer(t *testing.T) {
	idp := newIssuer(t)
	v := verifier(t, auth.Settings{Issuer: idp.url(), Audience: "tenure-api"})
	good := jwt.MapClaims{"iss": idp.url(), "aud": "tenure-api", "sub": "u1", "tenant": "acme", "exp": time.Now().Add(time.Hour).Unix()}

	idp.away = true
	wantRefusal(t, v, idp.sign(t, good), http.StatusServiceUnavailable)
	idp.away = false
	v = verifier(t, auth.Settings{Issuer: idp.url(), Audience: "tenure-api"}) // the other one pauses for a second
	wantPrincipal(t, v, idp.sign(t, good), auth.Principal{Kind: auth.Tenant, Tenant: "acme", Subject: "u1"})

	for name, change := range map[string]jwt.MapClaims{
		"audience": {"aud": "another-api"}, "expiry": {"exp": time.Now().Add(-time.Hour).Unix()}, "issuer": {"iss": "https://elsewhere.example"},
	} {
		c := jwt.MapClaims{}
		for k, v := range good {
			c[k] = v
		}
		for k, v := range change {
			c[k] = v
		}
		t.Run(name, func(t *testing.T) { wantRefusal(t, v, idp.sign(t, c), http.StatusUnauthorized) })
	}
	wantRefusal(t, v, "dev", http.StatusUnauthorized)

	// Keys were rotated, and the new ones cannot be had.
	idp.rotate(t)
	idp.away = true
	wantRefusal(t, v, idp.sign(t, good), http.StatusServiceUnavailable)
	idp.away = false
	wantPrincipal(t, v, idp.sign(t, good), auth.Principal{Kind: auth.Tenant, Tenant: "acme", Subject: "u1"})
}

func TestSettingsThatLetNobodyOrEverybodyIn(t *testing.T) {
	for name, s := range map[string]auth.Settings{
		"nothing":             {Env: "production"},
		"both":                {Issuer: "https://idp.example", Audience: "a", Key: secret},
		"issuer, no audience": {Issuer: "https://idp.example"},
		"short secret":        {Key: "hunter2"},
		"no Ed25519 key":      {Key: ecdsaPEM(t)},
	} {
		if _, err := auth.New(s); err == nil || !strings.Contains(err.Error(), "TENURE_") {
			t.Errorf("%s: %v, want an error that names the variable", name, err)
		}
	}
}

func TestMiddlewareHandsTheCallerOn(t *testing.T) {
	problem.Install()
	v := verifier(t, auth.Settings{Env: "dev"})
	mux := http.NewServeMux()
	api := humago.New(mux, huma.Config{OpenAPI: huma.DefaultConfig("test", "1").OpenAPI, Formats: huma.DefaultFormats, DefaultFormat: "application/json"})
	api.UseMiddleware(auth.Middleware(api, v))
	type answer struct{ Body string }
	whoAmI := func(ctx context.Context, _ *struct{}) (*answer, error) {
		return &answer{auth.FromContext(ctx).Actor()}, nil
	}
	huma.Register(api, huma.Operation{OperationID: "closed", Method: "GET", Path: "/described"}, whoAmI)
	huma.Register(api, huma.Operation{OperationID: "open", Method: "GET", Path: "/open", Security: []map[string][]string{}}, whoAmI)
	mux.Handle("GET /plain", v.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`"` + auth.FromContext(r.Context()).Actor() + `"`))
	})))

	for _, test := range []struct {
		path, header string
		status       int
		body         string
	}{
		{"/described", "Bearer dev:acme", 200, `"tenant:acme"`},
		{"/described", "bearer dev", 200, `"operator:dev"`},
		{"/described", "Basic ZGV2", 401, `"code":"unauthenticated"`},
		{"/described", "", 401, `"code":"unauthenticated"`},
		{"/open", "", 200, `""`},
		{"/plain", "Bearer dev", 200, `"operator:dev"`},
		{"/plain", "", 401, `"code":"unauthenticated"`},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", test.path, nil)
		if test.header != "" {
			r.Header.Set("Authorization", test.header)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.body) {
			t.Errorf("%s %q: %d %s", test.path, test.header, w.Code, w.Body)
		}
		if got := w.Header().Get("WWW-Authenticate"); (got != "") != (test.status == 401) {
			t.Errorf("%s %q: challenge %q", test.path, test.header, got)
		}
	}
}

func verifier(t *testing.T, s auth.Settings) *auth.Verifier {
	t.Helper()
	v, err := auth.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func parse(t *testing.T, text string) auth.Key {
	t.Helper()
	key, err := auth.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func mint(t *testing.T, key auth.Key, p auth.Principal, validFor time.Duration) string {
	t.Helper()
	token, err := key.Mint(p, validFor)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func wantPrincipal(t *testing.T, v *auth.Verifier, token string, want auth.Principal) {
	t.Helper()
	got, err := v.Authenticate(t.Context(), token)
	if err != nil || got != want {
		t.Errorf("%+v (%v), want %+v", got, err, want)
	}
}

func wantRefusal(t *testing.T, v *auth.Verifier, token string, status int) {
	t.Helper()
	got, err := v.Authenticate(t.Context(), token)
	var p *problem.Error
	if !errors.As(err, &p) || p.Status != status || got != (auth.Principal{}) {
		t.Errorf("token %.20q: %+v, %v; want %d", token, got, err, status)
	}
}

func ed25519PEM(t *testing.T) (private, public string) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return privatePEM(t, priv), publicPEM(t, pub)
}

func ecdsaPEM(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return privatePEM(t, key)
}

func privatePEM(t *testing.T, key crypto.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func publicPEM(t *testing.T, key crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// fakeIssuer is an OpenID Connect issuer as far as those who check tokens see it.
type fakeIssuer struct {
	server *httptest.Server
	key    *ecdsa.PrivateKey
	kid    string
	away   bool
}

func newIssuer(t *testing.T) *fakeIssuer {
	t.Helper()
	i := &fakeIssuer{}
	i.rotate(t)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": i.url(), "jwks_uri": i.url() + "/keys", "id_token_signing_alg_values_supported": []string{"ES256"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		point, err := i.key.PublicKey.Bytes()
		if err != nil {
			t.Error(err)
		}
		encode := base64.RawURLEncoding.EncodeToString
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]any{
			"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": i.kid, "x": encode(point[1:33]), "y": encode(point[33:]),
		}}})
	})
	i.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i.away {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(i.server.Close)
	return i
}

func (i *fakeIssuer) url() string { return i.server.URL }

func (i *fakeIssuer) rotate(t *testing.T) {
	t.Helper()
	var err error
	if i.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	i.kid = rand.Text()
}

func (i *fakeIssuer) sign(t *testing.T, c jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, c)
	token.Header["kid"] = i.kid
	signed, err := token.SignedString(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}
