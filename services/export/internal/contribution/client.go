package contribution

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"tenure/services/connectors"
	"tenure/shared/egress"
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
	egress egress.Policy
	stall  time.Duration
	http   *http.Client
}

// NewClient makes a client that reaches what the policy allows.
func NewClient(p egress.Policy) *Client {
	return &Client{egress: p, stall: patience, http: p.Client(patience)}
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
	if errors.Is(err, egress.ErrPrivate) {
		return nil, fault.Permanent(egress.ErrPrivate)
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
