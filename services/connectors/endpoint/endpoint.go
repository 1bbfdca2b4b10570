// Package endpoint connects any system that answers three HTTP calls about a tenant: count, rows, erase. openapi.yaml is the
// protocol; endpointtest has a service that speaks it, to start from.
//
// A snapshot is a copy made page by page (see package spool): each row is in it once, as it was when its page was made,
// between the watermark's time and its position.
package endpoint

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tenure/services/connectors"
	"tenure/services/connectors/remote"
	"tenure/shared/fault"
)

// Protocol is the OpenAPI description of the calls.
//
//go:embed openapi.yaml
var Protocol []byte

// Config says where the calls are answered.
type Config struct {
	// URL is what stands before "/tenants/{tenant}/...".
	URL   string
	Token string
	// Kinds are the rows that are exported; none is: erased only.
	Kinds []string
	// Subjects: calls may be about one person.
	Subjects bool
	// Settles is how long its counts may lag behind an erasure.
	Settles time.Duration
	// Class is the data class that the retention policy knows the store by.
	Class string
}

const (
	answerTimeout = time.Minute
	pageTimeout   = 10 * time.Minute
	// maxAnswer bounds an answer that is no page.
	maxAnswer = 1 << 20
	// patience is how long one Erase waits for an erasure that is under way; the caller waits on.
	patience = time.Minute
)

// Store is a connectors.Connector.
type Store struct {
	name     string
	cfg      Config
	http     *http.Client
	patience time.Duration
}

// New connects an endpoint. It asks nobody.
func New(name string, cfg Config) (*Store, error) {
	at, err := url.Parse(cfg.URL)
	if err != nil || at.Host == "" || at.User != nil || at.RawQuery != "" || at.Scheme != "http" && at.Scheme != "https" {
		return nil, errors.New("the address must be like https://host/path, without credentials or a query")
	}
	cfg.URL = strings.TrimRight(cfg.URL, "/")
	return &Store{name: name, cfg: cfg, http: remote.NewClient(answerTimeout), patience: patience}, nil
}

// Name is the store's name in the data map.
func (s *Store) Name() string { return s.name }

// Traits tells the address.
func (s *Store) Traits() connectors.Traits {
	return connectors.Traits{
		Kind: "endpoint", Targets: []string{"data of {tenant} at " + s.cfg.URL},
		Settles: s.cfg.Settles, Subjects: s.cfg.Subjects, Class: s.cfg.Class,
	}
}

// counted is the answer of GET count.
type counted struct {
	Counts connectors.Counts `json:"counts"`
	Bytes  int64             `json:"bytes"`
}

// Count tells what the endpoint counts.
func (s *Store) Count(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	found, _, err := s.count(ctx, of)
	return found.Counts, s.wrap("count", err)
}

// Verify is Count: the protocol has it count whatever an erasure removes.
func (s *Store) Verify(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	return s.Count(ctx, of)
}

// Bytes tells what the endpoint estimates.
func (s *Store) Bytes(ctx context.Context, of connectors.Scope) (int64, error) {
	found, _, err := s.count(ctx, of)
	return found.Bytes, s.wrap("measure", err)
}

// count answers with the endpoint's time as well.
func (s *Store) count(ctx context.Context, of connectors.Scope) (found counted, at time.Time, err error) {
	if ok, err := s.has(of); !ok {
		return counted{Counts: connectors.Counts{}}, time.Now(), err
	}
	resp, err := s.call(ctx, http.MethodGet, of, "count", nil)
	if err != nil {
		return found, at, err
	}
	defer resp.Body.Close()
	if at, err = http.ParseTime(resp.Header.Get("Date")); err != nil {
		at = time.Now() // the protocol's HTTP asks for a date of whoever has a clock (RFC 9110, 6.6.1)
	}
	if err := decode(resp.Body, &found); err != nil {
		return found, at, err
	}
	return found, at, checkCounts(found.Counts)
}

// has tells whether the endpoint has anything of a scope's, or why the scope is none.
func (s *Store) has(of connectors.Scope) (bool, error) {
	err := of.Check()
	return err == nil && (of.Subject == "" || s.cfg.Subjects), err
}

// Erase asks until the endpoint says that it is done.
func (s *Store) Erase(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	if ok, err := s.has(of); !ok {
		return connectors.Counts{}, err
	}
	enough := time.NewTimer(s.patience)
	defer enough.Stop()
	for {
		erased, pause, err := s.erase(ctx, of)
		if err != nil || erased != nil {
			return erased, s.wrap("erase", err)
		}
		again := time.NewTimer(pause)
		select {
		case <-again.C:
		case <-enough.C:
			return nil, s.wrap("erase", fault.RetryAfter(errors.New("it is still under way"), pause))
		case <-ctx.Done():
			return nil, s.wrap("erase", ctx.Err())
		}
	}
}

// erase answers with what was erased, or after which pause to ask again.
func (s *Store) erase(ctx context.Context, of connectors.Scope) (connectors.Counts, time.Duration, error) {
	resp, err := s.call(ctx, http.MethodDelete, of, "data", nil)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusAccepted {
		pause := remote.RetryAfter(resp)
		if pause == 0 {
			pause = time.Second
		}
		return nil, pause, nil
	}
	var done struct {
		Erased connectors.Counts `json:"erased"`
	}
	if err := decode(resp.Body, &done); err != nil {
		return nil, 0, err
	}
	return done.Erased, 0, checkCounts(done.Erased)
}

// call sends a request about a scope and answers with a success: 200, or 202 to a DELETE.
func (s *Store) call(ctx context.Context, method string, of connectors.Scope, what string, query url.Values) (*http.Response, error) {
	if query == nil {
		query = url.Values{}
	}
	if of.Subject != "" {
		query.Set("subject", of.Subject)
	}
	at := s.cfg.URL + "/tenants/" + url.PathEscape(of.Tenant) + "/" + what
	if len(query) > 0 {
		at += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, at, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.cfg.Token)
	req.Header.Set("Accept", "application/json, application/x-ndjson")
	resp, err := remote.Do(s.http, req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusAccepted && method == http.MethodDelete {
		return resp, nil
	}
	defer resp.Body.Close()
	// Without the body: whatever a SaaS writes there, it may be about a person, and errors are logged.
	return nil, &remote.StatusError{Status: resp.StatusCode, RetryAfter: remote.RetryAfter(resp)}
}

func decode(body io.Reader, into any) error {
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("the answer is not as the protocol says: %w", err)
	}
	return nil
}

// checkCounts refuses an answer without counts, which would pass for "nothing left".
func checkCounts(counts connectors.Counts) error {
	if counts == nil {
		return errors.New("the answer has no counts")
	}
	for name, n := range counts {
		if n < 0 {
			return fmt.Errorf("the answer counts %d %s", n, name)
		}
	}
	return nil
}

func (s *Store) wrap(action string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store %s: %s: %w", s.name, action, remote.Classify(err))
}
