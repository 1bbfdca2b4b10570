package certificate_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"tenure/services/deletion/internal/certificate"
)

func signer(t *testing.T, seed string) certificate.Signer {
	t.Helper()
	s, err := certificate.ParseSigner(base64.StdEncoding.EncodeToString([]byte(strings.Repeat(seed, 32))))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type content struct {
	Tenant string `json:"tenant"`
	Rows   int64  `json:"rows"`
	Note   string `json:"note"`
}

func sign(t *testing.T, s certificate.Signer) []byte {
	t.Helper()
	document, err := s.Sign(content{"acme", 412, "é <ü> \u2028"})
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func TestSignedDocumentOpens(t *testing.T) {
	s := signer(t, "a")
	document := sign(t, s)
	if !bytes.Equal(document, sign(t, s)) {
		t.Error("equal content gave other bytes")
	}
	var members map[string]any
	if err := json.Unmarshal(document, &members); err != nil {
		t.Fatal(err)
	}
	reordered, err := json.Marshal(members) // sorted, no white space, HTML escaped
	if err != nil {
		t.Fatal(err)
	}
	for name, form := range map[string][]byte{"as signed": document, "reformatted": reordered} {
		signed, err := certificate.Open(form)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got content
		if err := json.Unmarshal(signed.Content, &got); err != nil || got.Rows != 412 || got.Tenant != "acme" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if signed.Trusted {
			t.Errorf("%s: trusted though nobody named a key", name)
		}
	}
}

func TestTrustedKeys(t *testing.T) {
	ours, old, theirs := signer(t, "a"), signer(t, "b"), signer(t, "c")
	signed, err := certificate.Open(sign(t, ours), old.PublicKey(), ours.PublicKey())
	if err != nil || !signed.Trusted {
		t.Errorf("ours: %v", err)
	}
	// Signed anew by somebody else, with everything in it right.
	if _, err := certificate.Open(sign(t, theirs), old.PublicKey(), ours.PublicKey()); !errors.Is(err, certificate.ErrForged) {
		t.Errorf("theirs: %v", err)
	}
}

func TestTampering(t *testing.T) {
	s, other := signer(t, "a"), signer(t, "b")
	otherKey := base64.StdEncoding.EncodeToString(other.PublicKey())
	ourKey := base64.StdEncoding.EncodeToString(s.PublicKey())
	for name, change := range map[string]func(string) string{
		"a number":            func(d string) string { return strings.Replace(d, "412", "0", 1) },
		"a string":            func(d string) string { return strings.Replace(d, "acme", "acmf", 1) },
		"a member is added":   func(d string) string { return strings.Replace(d, "{", `{"more":1,`, 1) },
		"a member is removed": func(d string) string { return strings.Replace(d, `"rows": 412,`, "", 1) },
		"a member is doubled": func(d string) string { return strings.Replace(d, "{", `{"rows":0,`, 1) },
		"its case is changed": func(d string) string { return strings.Replace(d, `"rows"`, `"Rows"`, 1) },
		"another key":         func(d string) string { return strings.Replace(d, ourKey, otherKey, 1) },
		"another key and id": func(d string) string {
			d = strings.Replace(d, ourKey, otherKey, 1)
			return strings.Replace(d, certificate.KeyID(s.PublicKey()), certificate.KeyID(other.PublicKey()), 1)
		},
		"no key":            func(d string) string { return strings.Replace(d, ourKey, "", 1) },
		"no signature":      func(d string) string { return strings.Replace(d, `"signature"`, `"signed"`, 1) },
		"cut":               func(d string) string { return d[:len(d)/2] },
		"more behind":       func(d string) string { return d + "{}" },
		"an array":          func(d string) string { return "[" + d + "]" },
		"null":              func(string) string { return "null" },
		"nothing":           func(string) string { return "" },
		"no JSON":           func(string) string { return "PK\x03\x04" },
		"an empty document": func(string) string { return "{}" },
	} {
		t.Run(name, func(t *testing.T) {
			document := string(sign(t, s))
			changed := change(document)
			if changed == document {
				t.Fatal("the test changed nothing")
			}
			if _, err := certificate.Open([]byte(changed)); !errors.Is(err, certificate.ErrForged) {
				t.Errorf("opened: %v", err)
			}
		})
	}
}

// FuzzOpen looks for documents that open though they are not what was signed.
func FuzzOpen(f *testing.F) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte("a"), ed25519.SeedSize))
	s, err := certificate.ParseSigner(base64.StdEncoding.EncodeToString(key.Seed()))
	if err != nil {
		f.Fatal(err)
	}
	document, err := s.Sign(content{"acme", 412, ""})
	if err != nil {
		f.Fatal(err)
	}
	genuine, err := certificate.Open(document)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(document)
	f.Add([]byte(`{"key_id":"","public_key":"","signature":""}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		signed, err := certificate.Open(document, s.PublicKey())
		if err == nil && !bytes.Equal(signed.Content, genuine.Content) {
			t.Errorf("%q opens as %q", document, signed.Content)
		}
	})
}

func TestParseSignerRefusesWhatIsNoSeed(t *testing.T) {
	for _, text := range []string{"", "a", strings.Repeat("a", 32), base64.StdEncoding.EncodeToString([]byte("too short"))} {
		if _, err := certificate.ParseSigner(text); err == nil {
			t.Errorf("%q is taken for a seed", text)
		}
	}
}
