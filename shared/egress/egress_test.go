package egress_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tenure/shared/egress"
)

func TestAddresses(t *testing.T) {
	office := egress.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
	for _, test := range []struct {
		policy  egress.Policy
		address string
		allowed bool
	}{
		{egress.Policy{}, "https://example.com/hook", true},
		{egress.Policy{}, "https://93.184.216.34/hook", true},
		{egress.Policy{}, "https://[2606:2800:220:1:248:1893:25c8:1946]/hook", true},
		{egress.Policy{}, "http://example.com/hook", false},
		{egress.Policy{}, "ftp://example.com", false},
		{egress.Policy{}, "file:///etc/passwd", false},
		{egress.Policy{}, "https://user:secret@example.com", false},
		{egress.Policy{}, "//example.com", false},
		{egress.Policy{}, "https://", false},
		{egress.Policy{}, "https://:443/x", false},
		{egress.Policy{}, "\x00", false},
		{egress.Policy{}, "https://127.0.0.1", false},
		{egress.Policy{}, "https://[::1]", false},
		{egress.Policy{}, "https://[::ffff:127.0.0.1]", false},
		{egress.Policy{}, "https://169.254.169.254/latest/meta-data", false},
		{egress.Policy{}, "https://10.0.0.1", false},
		{egress.Policy{}, "https://192.168.1.1", false},
		{egress.Policy{}, "https://172.31.255.255", false},
		{egress.Policy{}, "https://100.64.0.1", false},
		{egress.Policy{}, "https://0.0.0.0", false},
		{egress.Policy{}, "https://[fd00::1]", false},
		{egress.Policy{}, "https://[fe80::1]", false},
		{egress.Policy{}, "https://[64:ff9b::7f00:1]", false},
		{egress.Policy{}, "https://255.255.255.255", false},
		{office, "http://10.1.2.3", true},
		{office, "https://10.2.2.3", false},
		{egress.Loopback(), "http://127.0.0.1:8080/hook", true},
		{egress.Loopback(), "https://169.254.169.254", false},
	} {
		if err := test.policy.CheckURL(test.address); (err == nil) != test.allowed {
			t.Errorf("%s: %v", test.address, err)
		}
	}
}

// A name that points inward shows only when it is connected to.
func TestConnections(t *testing.T) {
	inner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/", http.StatusFound)
	}))
	defer inner.Close()
	byName := strings.Replace(inner.URL, "127.0.0.1", "localhost", 1)
	if _, err := (egress.Policy{}).Client(time.Second).Get(byName); !errors.Is(err, egress.ErrPrivate) {
		t.Errorf("reached this machine: %v", err)
	}
	answer, err := egress.Loopback().Client(time.Second).Get(byName)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusFound {
		t.Errorf("the redirect was followed: %s", answer.Status)
	}
}
