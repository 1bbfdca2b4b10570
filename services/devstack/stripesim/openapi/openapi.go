// Package openapi holds the simulator to Stripe's own description of its API:
// the requests that it accepts and the answers that it gives. It is for tests;
// it needs the go command, to find the description in the module cache.
//
// The description is that of stripe-mock v0.148.0, one API version older than
// ours. What came later is left out of the check: see newer.
package openapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/stripe/stripe-mock/param"
	"github.com/stripe/stripe-mock/param/coercer"
	"github.com/stripe/stripe-mock/server"
	"github.com/stripe/stripe-mock/spec"
)

const module = "github.com/stripe/stripe-mock"

// newer are parameters that the description does not know yet.
var newer = []string{"cancellation_details", "trial_settings", "recurring[meter]"}

// newerPaths are calls that the description does not know yet.
const newerPaths = "/v1/billing/"

// Checker knows the description. It is safe for concurrent use.
type Checker struct {
	spec       *spec.Spec
	components *spec.ComponentsForValidation
	paths      []path

	mu    sync.Mutex // a validator is not known to bear two calls at once
	forms map[*spec.Operation]*form
}

type path struct {
	pattern    *regexp.Regexp
	fixed      bool // has no parameter
	operations map[spec.HTTPVerb]*spec.Operation
}

// Load reads the description once per process.
var Load = sync.OnceValues(load)

func load() (*Checker, error) {
	out, err := exec.CommandContext(context.Background(), "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return nil, fmt.Errorf("find %s (run it within the devstack module): %w", module, err)
	}
	description, err := server.LoadSpec(nil, filepath.Join(strings.TrimSpace(string(out)), "openapi", "spec3.json"))
	if err != nil {
		return nil, fmt.Errorf("read Stripe's description: %w", err)
	}
	c := &Checker{
		spec: description, components: spec.GetComponentsForValidation(&description.Components), forms: map[*spec.Operation]*form{},
	}
	parameter := regexp.MustCompile(`\{[^}]+\}`)
	for name, operations := range description.Paths {
		pattern := parameter.ReplaceAllString(string(name), "[^/]+")
		c.paths = append(c.paths, path{
			pattern: regexp.MustCompile("^" + pattern + "$"), fixed: pattern == string(name), operations: operations,
		})
	}
	return c, nil
}

// Wrap passes requests on to next and reports every request that next accepts
// although the description does not allow it, and every answer that lacks what
// the description requires, or any that is not described at all. Only what is
// beyond /v1, and newerPaths, is let be.
func (c *Checker) Wrap(next http.Handler, report func(format string, args ...any)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		operation := c.operation(r)
		if operation == nil {
			c.undescribed(next, w, r, report)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			report("%s %s: read the request: %v", r.Method, r.URL.Path, err)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer := &recorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, r)
		if answer.status != http.StatusOK {
			return
		}
		complaints := append(c.request(operation, r, body), c.answer(operation, answer.body.Bytes())...)
		for _, complaint := range complaints {
			report("%s %s: %s", r.Method, r.URL.Path, complaint)
		}
	})
}

// undescribed lets a call be, but reports one that is answered although Stripe's
// description has nothing like it.
func (c *Checker) undescribed(next http.Handler, w http.ResponseWriter, r *http.Request, report func(format string, args ...any)) {
	answer := &recorder{ResponseWriter: w, status: http.StatusOK}
	next.ServeHTTP(answer, r)
	later := strings.HasPrefix(r.URL.Path, newerPaths) || !strings.HasPrefix(r.URL.Path, "/v1/")
	if answer.status == http.StatusOK && !later {
		report("%s %s is answered, but Stripe does not describe it", r.Method, r.URL.Path)
	}
}

func (c *Checker) operation(r *http.Request) *spec.Operation {
	var found *spec.Operation
	for _, p := range c.paths {
		operation := p.operations[spec.HTTPVerb(strings.ToLower(r.Method))]
		if operation == nil || !p.pattern.MatchString(r.URL.Path) {
			continue
		}
		if p.fixed { // "/v1/invoices/upcoming" is not "/v1/invoices/{invoice}"
			return operation
		}
		found = operation
	}
	return found
}

// request does as stripe-mock does: it brings the parameters to the types of the
// description and then holds names, types and enumerations to it.
func (c *Checker) request(operation *spec.Operation, r *http.Request, body []byte) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	form, err := c.form(operation, r.Method)
	if err != nil {
		return []string{"the description cannot be used: " + err.Error()}
	}
	again := r.Clone(r.Context())
	again.URL.RawQuery, again.Body = known(r.URL.RawQuery), io.NopCloser(strings.NewReader(known(string(body))))
	params, err := param.ParseParams(again)
	if err != nil {
		return []string{"the parameters cannot be read: " + err.Error()}
	}
	if err := coercer.CoerceParams(form.schema, params); err != nil {
		return []string{"a parameter is of another type: " + err.Error()}
	}
	if err := form.validator.Validate(params); err != nil {
		return []string{"the description refuses the request: " + err.Error()}
	}
	return nil
}

// form is what an operation takes. Its validator takes long to make.
type form struct {
	schema    *spec.Schema
	validator interface{ Validate(params any) error }
}

func (c *Checker) form(operation *spec.Operation, method string) (*form, error) {
	if made := c.forms[operation]; made != nil {
		return made, nil
	}
	made := &form{schema: spec.BuildQuerySchema(operation)}
	if operation.RequestBody != nil && method != http.MethodGet {
		for _, media := range operation.RequestBody.Content {
			made.schema = media.Schema
		}
	}
	validator, err := spec.GetValidatorForOpenAPI3Schema(made.schema, c.components)
	if err != nil {
		return nil, err
	}
	made.validator = validator
	c.forms[operation] = made
	return made, nil
}

// known leaves out the parameters that are newer than the description.
func known(encoded string) string {
	values, err := url.ParseQuery(encoded)
	if err != nil {
		return encoded // the simulator has refused it already
	}
	for name := range values {
		for _, later := range newer {
			if strings.HasPrefix(name, later) {
				values.Del(name)
			}
		}
	}
	return values.Encode()
}

type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// Unwrap lets the simulator flush, which it does to break an answer off.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(data []byte) (int, error) {
	r.body.Write(data)
	return r.ResponseWriter.Write(data)
}
