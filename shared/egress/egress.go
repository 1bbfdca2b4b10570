// Package egress is the way out to addresses that others have named: a tenant's webhook, a participant's file. Such an
// address must not make Tenure reach what only Tenure can reach (server-side request forgery): the network is checked
// where it is connected to, so that no name can be made to point inward after it was looked at.
package egress

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"syscall"
	"time"
)

// ErrPrivate says that an address is not one of the public internet, and not one that the operator has allowed.
var ErrPrivate = errors.New("its address is not one of the public internet; TENURE_EGRESS_ALLOW names the networks that are allowed beside it")

// reserved are networks that netip has no name for: shared and benchmark space, protocol assignments, documentation,
// class E, and IPv6's ways to write an IPv4 address (IANA's special-purpose address registries).
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"),
}

// Policy is which networks may be reached beside the public internet.
type Policy struct {
	Allow []netip.Prefix
}

// Loopback is the policy of development: this machine, and nothing else that is private.
func Loopback() Policy {
	return Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
}

// Client makes a client whose connections keep to the policy; connecting and each handshake may take as long as patience.
// It follows no redirect, which would be one more address that nobody has checked, and uses no proxy, which would be
// what is connected to whatever the address says.
func (p Policy) Client(patience time.Duration) *http.Client {
	dialer := &net.Dialer{Timeout: patience, Control: p.control}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: patience, IdleConnTimeout: patience,
			MaxIdleConnsPerHost: 2, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// CheckURL refuses at once what Client would never reach: other schemes than https (http where private networks are
// allowed), an address without a host or with a password in it, and a private address that is written as one.
func (p Policy) CheckURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return errors.New("it is no absolute URL")
	case u.Scheme != "https" && (u.Scheme != "http" || len(p.Allow) == 0):
		return errors.New("it must begin with https://")
	case u.User != nil:
		return errors.New("it must hold no user name and no password")
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !p.allowed(ip.Unmap()) {
		return ErrPrivate
	}
	return nil
}

// control is a net.Dialer's: it sees the address that is really connected to.
func (p Policy) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPrivate, err)
	}
	if !p.allowed(to.Addr().Unmap()) {
		return ErrPrivate
	}
	return nil
}

func (p Policy) allowed(ip netip.Addr) bool {
	holds := func(network netip.Prefix) bool { return network.Contains(ip) }
	if slices.ContainsFunc(p.Allow, holds) {
		return true
	}
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !slices.ContainsFunc(reserved, holds)
}
