package stripesim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"tenure/services/devstack/stripesim/form"
)

const maxBody = 1 << 20

// call is one request of the API while it runs in its transaction.
type call struct {
	*tx
	*form.Params
	request *http.Request
}

// handler does a call and returns the object to answer with.
type handler func(c *call) (any, error)

// id is the object that the path names.
func (c *call) id() string { return c.request.PathValue("id") }

// answer is what goes back to the client.
type answer struct {
	Status   int             `json:"status"`
	Body     json.RawMessage `json:"body"`
	kept     bool            // for the idempotency key
	replayed bool
	applied  bool
}

// received is a request whose body has been read.
type received struct {
	*http.Request
	id     string
	key    string // Idempotency-Key, of a POST alone
	values url.Values
}

func (r *received) cause() cause {
	c := cause{ID: &r.id}
	if r.key != "" {
		c.IdempotencyKey = &r.key
	}
	return c
}

func receive(r *http.Request) (*received, error) {
	in := &received{Request: r, id: newID("req")}
	if r.Method == http.MethodPost {
		// Other methods are idempotent by themselves: Stripe ignores the key.
		in.key = r.Header.Get("Idempotency-Key")
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err != nil {
		return in, invalid("", "The request body cannot be read: %v", err)
	}
	// A DELETE carries its parameters in the body or, like a GET, in the query.
	in.values, err = url.ParseQuery(strings.Trim(r.URL.RawQuery+"&"+string(body), "&"))
	if err != nil {
		return in, invalid("", "The request is not form-encoded: %v", err)
	}
	if len(in.key) > 255 {
		return in, invalid("", "Idempotency keys can be at most 255 characters.")
	}
	return in, nil
}

// api wraps a handler with all that Stripe does around an endpoint: the key,
// faults, idempotency, and the log of calls.
func (s *Server) api(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		in, err := receive(r)
		w.Header().Set("Request-Id", in.id)
		w.Header().Set("Stripe-Version", apiVersion)
		if err == nil {
			err = s.authorize(r)
		}
		if err != nil {
			respond(w, in, s.settle(in, refused(err)))
			return
		}
		release, ok := s.keys.take(in.key)
		if !ok {
			respond(w, in, s.settle(in, refused(keyInUse(in.key))))
			return
		}
		defer release()
		s.serve(w, in, h)
	}
}

func (s *Server) serve(w http.ResponseWriter, in *received, h handler) {
	saved, err := s.savedAnswer(in)
	if err != nil {
		respond(w, in, s.settle(in, refused(err)))
		return
	}
	f, err := s.faults.take(s, in, saved != nil)
	if err != nil {
		respond(w, in, s.settle(in, refused(err)))
		return
	}
	var out answer
	switch {
	case f.hangs():
		s.settle(in, answer{})
		<-in.Context().Done() // the client gives up, or Run ends
		panic(http.ErrAbortHandler)
	case f.refuses():
		out = s.settle(in, refused(f.err()))
	case saved != nil:
		out = s.settle(in, saved.answer())
	default:
		out = s.execute(in, h)
	}
	if f.drops() {
		lose(w, out)
	}
	respond(w, in, out)
}

// lose breaks the connection off within the answer. Closing it before the first
// byte would not do: Go's transport then repeats a request that has an idempotency
// key by itself, and the client never learns that an answer was lost.
func lose(w http.ResponseWriter, out answer) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(out.Body)))
	w.WriteHeader(out.Status)
	_ = http.NewResponseController(w).Flush() // what is broken off need not arrive
	panic(http.ErrAbortHandler)
}

// execute runs the handler. Its effects, the answer kept for the idempotency key
// and the log entry are one transaction; a call that says no leaves only the latter two.
func (s *Server) execute(in *received, h handler) answer {
	var out answer
	err := s.update(in.cause(), func(t *tx) error {
		body, err := t.run(in, h)
		refusal := (*apiError)(nil)
		if err != nil {
			if refusal = asAPIError(err); !refusal.keep {
				return err
			}
		}
		out = answer{Status: http.StatusOK, Body: body, kept: true}
		if refusal != nil {
			out = refused(refusal)
		}
		out.applied = t.Wrote()
		return t.finish(in, out)
	})
	if err != nil {
		out = refused(err)
		out.kept = out.kept || asAPIError(err).executed()
		return s.settle(in, out)
	}
	return out
}

func (t *tx) run(in *received, h handler) (json.RawMessage, error) {
	params, err := form.Parse(in.values)
	if err != nil {
		return nil, err
	}
	expand := params.Strings("expand")
	object, err := h(&call{tx: t, Params: params, request: in.Request})
	if err != nil {
		return nil, err
	}
	rendered, err := render(object)
	if err != nil {
		return nil, err
	}
	for _, path := range expand {
		if err := t.expand(rendered, path); err != nil {
			return nil, err
		}
	}
	return encode(rendered)
}

// settle finishes a call that had no effect.
func (s *Server) settle(in *received, out answer) answer {
	err := s.update(in.cause(), func(t *tx) error { return t.finish(in, out) })
	if err != nil {
		return refused(err)
	}
	return out
}

// finish keeps the answer for its idempotency key and logs the call.
func (t *tx) finish(in *received, out answer) error {
	if err := t.save(in, out); err != nil {
		return err
	}
	return t.logCall(in, out)
}

func respond(w http.ResponseWriter, in *received, out answer) {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	if in.key != "" {
		header.Set("Idempotency-Key", in.key)
	}
	if out.replayed {
		header.Set("Idempotent-Replayed", "true")
	}
	w.WriteHeader(out.Status)
	_, _ = w.Write(out.Body) // a client that is gone tries again with its key
}

// refused is the answer for an error.
func refused(err error) answer {
	e := asAPIError(err)
	body, err := encode(map[string]any{"error": e})
	if err != nil {
		body = []byte(`{"error":{"type":"api_error","message":"The simulator cannot encode its error."}}`)
	}
	return answer{Status: e.status, Body: body, kept: e.stored()}
}

func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode an answer: %w", err)
	}
	return b.Bytes(), nil
}

// authorize takes the key as a bearer token or as the user of basic auth.
func (s *Server) authorize(r *http.Request) error {
	key, _, ok := r.BasicAuth()
	if !ok {
		key, ok = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	e := &apiError{status: http.StatusUnauthorized, Type: errorInvalidRequest}
	switch {
	case !ok || key == "":
		e.Message = "You did not provide an API key. Use Authorization: Bearer YOUR_SECRET_KEY."
	case s.cfg.APIKey != "" && key != s.cfg.APIKey:
		e.Message = "Invalid API Key provided."
	default:
		return nil
	}
	return e
}

func notFound(c *call) (any, error) {
	e := invalid("", "Unrecognized request URL (%s: %s).", c.request.Method, c.request.URL.Path)
	e.status = http.StatusNotFound
	return nil, e
}
