package contribution

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"tenure/services/connectors"
	"tenure/shared/events"
	"tenure/shared/fault"
)

const (
	// maxRow bounds one row, and so the memory that a file takes.
	maxRow = 8 << 20
	// patience is how long a server may send nothing.
	patience = 30 * time.Second
)

// Client fetches files. It is safe for concurrent use.
type Client struct {
	dev   bool
	stall time.Duration
	http  *http.Client
}

// NewClient makes a client. In development it takes http and addresses of this machine and its networks; otherwise it
// refuses them where it connects, so that no name can be made to point inward: a participant's answer must not make
// this service read what only it can reach.
func NewClient(dev bool) *Client {
	dialer := &net.Dialer{Timeout: patience}
	if !dev {
		dialer.Control = refusePrivate
	}
	return &Client{dev: dev, stall: patience, http: &http.Client{
		// No proxy: it would be what is connected to, whatever the address of the file.
		Transport: &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: patience, IdleConnTimeout: patience},
		// A redirect would be one more address that nobody has checked.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

var errPrivate = errors.New("its address is not one of the public internet")

// reserved are networks that netip has no name for: shared and benchmark space, protocol assignments, documentation,
// class E, and IPv6's ways to write an IPv4 address (IANA's special-purpose address registries).
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"),
}

// refusePrivate is a net.Dialer's Control: it sees the address that is really connected to.
func refusePrivate(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !public(to.Addr().Unmap()) {
		return errPrivate
	}
	return nil
}

func public(ip netip.Addr) bool {
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	for _, network := range reserved {
		if network.Contains(ip) {
			return false
		}
	}
	return true
}

// fetch writes the rows of a file behind the first after ones up to row upTo, and checks each, and that there are as many
// as was said. A server that is away is a fault.RetryAfter; one that gives something else than was said is
// a fault.Permanent.
func (c *Client) fetch(ctx context.Context, f events.ExportFile, after, upTo int64, to connectors.Sink) error {
	guarded, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(c.stall, func() { cancel(fmt.Errorf("its server sent nothing for %v", c.stall)) })
	defer stall.Stop()
	body, err := c.open(guarded, f.URL)
	if err != nil {
		return outage(ctx, guarded, err)
	}
	defer body.Close()
	rows := bufio.NewScanner(&watched{body, stall, c.stall})
	rows.Buffer(nil, maxRow)
	var n int64
	for n < f.Rows && rows.Scan() {
		n++
		if err := checkRow(rows.Bytes()); err != nil {
			return fault.Permanent(fmt.Errorf("row %d: %w", n, err))
		}
		if n <= after || n > upTo {
			continue
		}
		if _, err := to.Write(rows.Bytes()); err != nil {
			return err
		}
		if err := to.EndRow(); err != nil {
			return err
		}
	}
	more := n == f.Rows && rows.Scan()
	switch err := rows.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fault.Permanent(fmt.Errorf("row %d has more than %d bytes", n+1, maxRow))
	case err != nil:
		return outage(ctx, guarded, err)
	case more:
		return fault.Permanent(fmt.Errorf("it has more than the %d rows that were said", f.Rows))
	case n < f.Rows:
		return fault.Permanent(fmt.Errorf("it has %d rows, %d were said", n, f.Rows))
	}
	return nil
}

// open asks for a file.
func (c *Client) open(ctx context.Context, address string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fault.Permanent(errors.New("its url cannot be asked for"))
	}
	request.Header.Set("Accept", "application/x-ndjson")
	response, err := c.http.Do(request)
	if errors.Is(err, errPrivate) {
		return nil, fault.Permanent(errPrivate)
	}
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	response.Body.Close()
	err = fmt.Errorf("its server answers %s", response.Status)
	if mayPass(response.StatusCode) {
		return nil, err
	}
	return nil, fault.Permanent(fmt.Errorf("%w; ask for a new export, which asks the participant anew", err))
}

// mayPass reports whether the same request may well succeed soon.
func mayPass(status int) bool {
	return status >= http.StatusInternalServerError || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

// outage makes err one that is waited for, unless it is for good or the caller's own doing. guarded is ctx with the watch
// for a stall.
func outage(ctx, guarded context.Context, err error) error {
	if fault.IsPermanent(err) {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if stalled := context.Cause(guarded); stalled != nil {
		err = stalled
	}
	var failed *url.Error // it repeats the address, which may hold a secret
	if errors.As(err, &failed) {
		err = failed.Err
	}
	return fault.RetryAfter(err, connectors.RetryDelay)
}

var errNoObject = errors.New("it is not a JSON object on one line")

func checkRow(row []byte) error {
	if trimmed := bytes.TrimLeft(row, " \t"); len(trimmed) == 0 || trimmed[0] != '{' || !json.Valid(row) {
		return errNoObject
	}
	return nil
}

// watched lets a stall be noticed while a read waits, and at no other time: what is read may have to wait for the upload.
type watched struct {
	io.Reader
	timer *time.Timer
	stall time.Duration
}

func (w *watched) Read(p []byte) (int, error) {
	w.timer.Reset(w.stall)
	defer w.timer.Stop()
	return w.Reader.Read(p)
}
