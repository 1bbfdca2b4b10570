package link_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenure/services/notifier/internal/link"
)

var (
	links = link.New("https://tenure.example", []byte("key"))
	now   = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	until = now.Add(time.Hour)
)

// tokenOf cuts a link's token off, and checks what is before it.
func tokenOf(t *testing.T, url string, kind link.Kind) string {
	t.Helper()
	token, ok := strings.CutPrefix(url, "https://tenure.example/l/"+string(kind)+"/")
	require.True(t, ok, url)
	return token
}

func TestALinkSaysWhatItWasMadeFor(t *testing.T) {
	for url, want := range map[string]link.Token{
		links.Back("acme", 2, "m1", until):        {Kind: link.Back, Tenant: "acme", Generation: 2, MailID: "m1", Expiry: until.Unix()},
		links.Back("acme", 2, "", until):          {Kind: link.Back, Tenant: "acme", Generation: 2, Expiry: until.Unix()},
		links.KeepPlan("acme", 2, "m1", until):    {Kind: link.KeepPlan, Tenant: "acme", Generation: 2, MailID: "m1", Expiry: until.Unix()},
		links.KeepAccount("acme", 2, "m1", until): {Kind: link.KeepAccount, Tenant: "acme", Generation: 2, MailID: "m1", Expiry: until.Unix()},
		links.Unsubscribe("acme", 2):              {Kind: link.Unsubscribe, Tenant: "acme", Generation: 2},
		links.Opened("m1"):                        {Kind: link.Opened, MailID: "m1"},
	} {
		got, err := links.Parse(want.Kind, tokenOf(t, url, want.Kind), now)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestTheSameEventMakesTheSameLink(t *testing.T) {
	require.Equal(t, links.Back("acme", 2, "m1", until), links.Back("acme", 2, "m1", until))
	a := link.Token{Kind: link.Back, Tenant: "acme", Generation: 2, MailID: "m1", Expiry: 1}
	b := a
	require.Equal(t, a.ID(), b.ID())
	b.MailID = "m2"
	require.NotEqual(t, a.ID(), b.ID())
	require.NotContains(t, links.Back("acme", 2, "m1", until), a.ID(), "an id that stands in logs makes no link")
}

func TestALinkEnds(t *testing.T) {
	token := tokenOf(t, links.KeepAccount("acme", 1, "m1", until), link.KeepAccount)
	_, err := links.Parse(link.KeepAccount, token, until.Add(-time.Second))
	require.NoError(t, err)
	_, err = links.Parse(link.KeepAccount, token, until)
	require.ErrorIs(t, err, link.ErrExpired)
	_, err = links.Parse(link.Unsubscribe, tokenOf(t, links.Unsubscribe("acme", 1), link.Unsubscribe), until.AddDate(100, 0, 0))
	require.NoError(t, err)
}

func TestNothingIsSaidOfAForgedToken(t *testing.T) {
	token := tokenOf(t, links.Back("acme", 1, "m1", until), link.Back)
	payload, signature, _ := strings.Cut(token, ".")
	forged := map[string]string{
		"empty":              "",
		"no signature":       payload,
		"empty signature":    payload + ".",
		"cut":                token[:len(token)-1],
		"longer":             token + "A",
		"another key":        tokenOf(t, link.New("https://tenure.example", []byte("other")).Back("acme", 1, "m1", until), link.Back),
		"another payload":    base64.RawURLEncoding.EncodeToString([]byte(`{"k":"back","t":"other","g":1,"m":"m1","x":9999999999}`)) + "." + signature,
		"another kind":       tokenOf(t, links.KeepAccount("acme", 1, "m1", until), link.KeepAccount),
		"no base64":          "%%%." + signature,
		"a dot more":         token + ".",
		"an expired forgery": tokenOf(t, link.New("https://tenure.example", []byte("other")).Back("acme", 1, "m1", now.Add(-time.Hour)), link.Back),
	}
	for name, token := range forged {
		_, err := links.Parse(link.Back, token, now)
		require.ErrorIs(t, err, link.ErrUnknown, name)
	}
	// The last character of a signature has bits that mean nothing: only one way of writing it is taken.
	for i := range len(token) {
		changed := []byte(token)
		changed[i] ^= 1
		_, err := links.Parse(link.Back, string(changed), now)
		require.ErrorIs(t, err, link.ErrUnknown, i)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("")
	f.Add(strings.TrimPrefix(links.Back("acme", 1, "m1", until), "https://tenure.example/l/back/") + "x")
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := links.Parse(link.Opened, token, now); err == nil {
			t.Fatalf("%q was never made", token)
		}
	})
}
