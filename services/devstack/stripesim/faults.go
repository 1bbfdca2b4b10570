package stripesim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"tenure/services/devstack/stripesim/store"
)

const (
	outcomeTimeout = "timeout"          // nothing happens and no answer comes
	outcomeDrop    = "drop_after_apply" // all happens and no answer comes
)

// fault spoils the next calls that it matches.
type fault struct {
	PathPrefix string  `json:"path_prefix"`
	Method     string  `json:"method,omitempty"`
	Outcome    outcome `json:"outcome"`
	Times      int     `json:"times"` // how many calls are still to be spoiled
}

// outcome is a status, timeout or drop_after_apply; a status may be written as a
// number or as a string.
type outcome string

func (o *outcome) UnmarshalJSON(data []byte) error {
	text := string(bytes.Trim(data, `"`))
	status, err := strconv.Atoi(text)
	if text != outcomeTimeout && text != outcomeDrop && (err != nil || status < 400 || status > 599) {
		return fmt.Errorf("outcome %s: want a status from 400 to 599, %s or %s", data, outcomeTimeout, outcomeDrop)
	}
	*o = outcome(text)
	return nil
}

func (f *fault) hangs() bool { return f != nil && f.Outcome == outcomeTimeout }
func (f *fault) drops() bool { return f != nil && f.Outcome == outcomeDrop }

// refuses reports whether the outcome is a status.
func (f *fault) refuses() bool { return f != nil && !f.hangs() && !f.drops() }

func (f *fault) err() *apiError {
	status, _ := strconv.Atoi(string(f.Outcome)) // checked when it was decoded
	e := &apiError{status: status, Type: errorAPI, Message: http.StatusText(status) + " (a fault that was asked for)"}
	switch {
	case status == http.StatusPaymentRequired:
		*e = *declined("generic_decline")
		e.status = status
	case status == http.StatusTooManyRequests:
		e.Type, e.Code = errorInvalidRequest, "rate_limit"
	case status < http.StatusInternalServerError:
		e.Type = errorInvalidRequest
	}
	return e
}

func (f *fault) matches(in *received) bool {
	return strings.HasPrefix(in.URL.Path, f.PathPrefix) && (f.Method == "" || strings.EqualFold(f.Method, in.Method))
}

// faultList is kept in memory, because every call looks at it, and stored at every change.
type faultList struct {
	mu   sync.Mutex
	list []fault
}

func (l *faultList) load(t *store.Tx) error { return t.Value("faults", &l.list) }

// take uses up the first fault that matches. A call whose answer is only
// replayed does not execute anything, so a failure while executing cannot hit it.
func (l *faultList) take(s *Server, in *received, replayed bool) (*fault, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, f := range l.list {
		if !f.matches(in) || (replayed && f.refuses() && f.err().stored()) {
			continue
		}
		rest := append([]fault(nil), l.list...)
		if rest[i].Times--; rest[i].Times <= 0 {
			rest = append(rest[:i], rest[i+1:]...)
		}
		return &f, l.set(s, rest)
	}
	return nil, nil
}

func (l *faultList) add(s *Server, f fault) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.set(s, append(append([]fault(nil), l.list...), f))
}

func (l *faultList) clear(s *Server) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.set(s, []fault{})
}

func (l *faultList) all() []fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]fault{}, l.list...)
}

func (l *faultList) set(s *Server, list []fault) error {
	err := s.db.Update(func(t *store.Tx) error { return t.SetValue("faults", list) })
	if err != nil {
		return fmt.Errorf("store the faults: %w", err)
	}
	l.list = list
	return nil
}

func decodeFault(r *http.Request) (fault, error) {
	f := fault{Times: 1}
	if err := decodeJSON(r, &f); err != nil {
		return f, err
	}
	if f.Outcome == "" || f.Times < 1 {
		return f, fmt.Errorf("a fault needs an outcome, and times of at least 1")
	}
	return f, nil
}

func decodeJSON(r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("the body is not the expected JSON: %w", err)
	}
	return nil
}
