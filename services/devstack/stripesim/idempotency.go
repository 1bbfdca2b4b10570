package stripesim

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"sync"

	"tenure/services/devstack/stripesim/store"
)

// keyLife is how long Stripe keeps an answer, on the simulated clock.
const keyLife = 24 * 60 * 60

// savedAnswer is what a key was answered with first. Every further call with the
// key gets the same, whether it was good or bad.
type savedAnswer struct {
	IdempotencyKey string `json:"key"`
	Path           string `json:"path"`
	Params         string `json:"params"` // a digest
	Created        int64  `json:"created"`
	Status         int    `json:"status"`
	Body           string `json:"body"` // byte for byte
}

func (a *savedAnswer) Key() string     { return a.IdempotencyKey }
func (a *savedAnswer) Kind() string    { return "idempotency_key" }
func (a *savedAnswer) Index() []string { return nil }

func (a *savedAnswer) answer() answer {
	return answer{Status: a.Status, Body: json.RawMessage(a.Body), replayed: true}
}

func digest(in *received) string {
	sum := sha256.Sum256([]byte(in.values.Encode()))
	return hex.EncodeToString(sum[:])
}

// savedAnswer finds the answer to replay, nil when the call is to be executed.
func (s *Server) savedAnswer(in *received) (*savedAnswer, error) {
	if in.key == "" {
		return nil, nil
	}
	var saved *savedAnswer
	err := s.db.View(func(t *store.Tx) error {
		var err error
		saved, err = store.Get[savedAnswer](t, in.key)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case s.clock.now().Unix()-saved.Created >= keyLife:
		return nil, nil // the next answer takes its place
	case saved.Path != in.URL.Path:
		return nil, misusedKey("Keys for idempotent requests can only be used for the same endpoint they were first used for ('" +
			in.URL.Path + "' vs '" + saved.Path + "'). Try using a key other than '" + in.key +
			"' if you meant to execute a different request.")
	case saved.Params != digest(in):
		return nil, misusedKey("Keys for idempotent requests can only be used with the same parameters they were first used with. " +
			"Try using a key other than '" + in.key + "' if you meant to execute a different request.")
	}
	return saved, nil
}

// save keeps an answer for its key, unless the call was refused before it began
// or never answered.
func (t *tx) save(in *received, out answer) error {
	if in.key == "" || out.replayed || !out.kept {
		return nil
	}
	return store.Put(t.Tx, &savedAnswer{
		IdempotencyKey: in.key, Path: in.URL.Path, Params: digest(in), Created: t.now,
		Status: out.Status, Body: string(out.Body),
	})
}

func misusedKey(message string) *apiError {
	return &apiError{status: http.StatusBadRequest, Type: errorIdempotency, Message: message}
}

func keyInUse(key string) *apiError {
	return &apiError{
		status: http.StatusConflict, Type: errorIdempotency, Code: "idempotency_key_in_use",
		Message: "There is currently another in-progress request using this Idempotent Key (that probably means you submitted twice, " +
			"and the other request is still going through): " + key + ". Please try again later.",
	}
}

// keyLocks are the keys whose first call is still running.
type keyLocks struct {
	mu   sync.Mutex
	held map[string]bool
}

// take is false when another call holds the key.
func (l *keyLocks) take(key string) (release func(), ok bool) {
	if key == "" {
		return func() {}, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[key] {
		return nil, false
	}
	if l.held == nil {
		l.held = map[string]bool{}
	}
	l.held[key] = true
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.held, key)
	}, true
}
