// Package link makes and reads the links in mails that stand for their reader: whoever has one may do the one thing that it
// is for, without signing in. It is pure: what was used already is somebody else's to know.
//
// A token is base64url(payload) "." base64url(HMAC-SHA256 of the encoded payload). Nothing of it is random, so that an
// event that is handled again makes the same link, and it names no person.
package link

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// Kind is what a link is for. It stands in the paths of links that were sent: never rename one.
type Kind string

// The kinds.
const (
	// Back leads to the choice to come back.
	Back Kind = "back"
	// KeepPlan calls a scheduled downgrade off.
	KeepPlan Kind = "keep-plan"
	// KeepAccount calls a deletion off.
	KeepAccount Kind = "keep-account"
	// Unsubscribe ends all mails that try to win the tenant back.
	Unsubscribe Kind = "unsubscribe"
	// Opened is the picture that tells that a mail was opened.
	Opened Kind = "opened"
)

// Root is the path under which all links are.
const Root = "/l/"

var (
	// ErrUnknown says that a token is not one of ours, or not for this.
	ErrUnknown = errors.New("link: no such link")
	// ErrExpired says that a token was good once.
	ErrExpired = errors.New("link: expired")
)

// Token is what a link says.
type Token struct {
	Kind   Kind   `json:"k"`
	Tenant string `json:"t,omitempty"`
	// Generation is the life of the tenant that the link is about.
	Generation int64 `json:"g,omitempty"`
	// MailID is the message that the link came with; it tells two links to the same thing apart, so that each can be used
	// once.
	MailID string `json:"m,omitempty"`
	// Expiry is in seconds since 1970; 0 is never.
	Expiry int64 `json:"x,omitempty"`
}

// Until is when the link ends; the zero time: never.
func (t Token) Until() time.Time {
	if t.Expiry == 0 {
		return time.Time{}
	}
	return time.Unix(t.Expiry, 0).UTC()
}

// ID names the token without being one: it may stand in logs and events.
func (t Token) ID() string {
	sum := sha256.Sum256([]byte(t.encode()))
	return hex.EncodeToString(sum[:16])
}

func (t Token) encode() string {
	payload, err := json.Marshal(t)
	if err != nil {
		panic(err) // strings and numbers alone
	}
	return base64.RawURLEncoding.EncodeToString(payload)
}

// Links makes and reads links. It is safe for concurrent use.
type Links struct {
	base string
	key  []byte
}

// New returns the links below base, where people reach Tenure (without a slash at the end), signed with key.
func New(base string, key []byte) Links { return Links{base, key} }

// Back leads to the page on which a tenant that left comes back. mailID is the campaign's mail, empty without one.
func (l Links) Back(tenant string, generation int64, mailID string, until time.Time) string {
	return l.url(Token{Back, tenant, generation, mailID, until.Unix()})
}

// KeepPlan leads to the page that calls a scheduled downgrade off. until is when it takes effect.
func (l Links) KeepPlan(tenant string, generation int64, mailID string, until time.Time) string {
	return l.url(Token{KeepPlan, tenant, generation, mailID, until.Unix()})
}

// KeepAccount leads to the page that calls a deletion off. until is when it begins.
func (l Links) KeepAccount(tenant string, generation int64, mailID string, until time.Time) string {
	return l.url(Token{KeepAccount, tenant, generation, mailID, until.Unix()})
}

// Unsubscribe ends a tenant's win-back mails, by the page or by a mail program's POST (RFC 8058). It does not expire: who
// wants no mail may say so at any time.
func (l Links) Unsubscribe(tenant string, generation int64) string {
	return l.url(Token{Kind: Unsubscribe, Tenant: tenant, Generation: generation})
}

// Opened is the picture of a mail.
func (l Links) Opened(mailID string) string { return l.url(Token{Kind: Opened, MailID: mailID}) }

func (l Links) url(t Token) string {
	payload := t.encode()
	return l.base + Root + string(t.Kind) + "/" + payload + "." + base64.RawURLEncoding.EncodeToString(l.sign(payload))
}

func (l Links) sign(payload string) []byte {
	mac := hmac.New(sha256.New, l.key)
	mac.Write([]byte(payload))
	return mac.Sum(nil)
}

// Parse reads a token that is used for kind at the time now. Nothing is said of a token that was not signed here but
// ErrUnknown: the signature is looked at first.
func (l Links) Parse(kind Kind, token string, now time.Time) (Token, error) {
	payload, signature, _ := strings.Cut(token, ".")
	signed, err := base64.RawURLEncoding.Strict().DecodeString(signature)
	if err != nil || !hmac.Equal(signed, l.sign(payload)) {
		return Token{}, ErrUnknown
	}
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return Token{}, ErrUnknown
	}
	var t Token
	if err := json.Unmarshal(raw, &t); err != nil || t.Kind != kind {
		return Token{}, ErrUnknown
	}
	if t.Expiry != 0 && now.Unix() >= t.Expiry {
		return Token{}, ErrExpired
	}
	return t, nil
}
