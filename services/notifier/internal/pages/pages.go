// Package pages serves what the links in mails lead to. Looking at a page changes nothing but the note that a link was
// followed; what is done is done by a POST. The token is the permission, and nothing else is: there are no cookies, so that
// no other site can act in anybody's name. The pages need no script, and tell no name or address.
package pages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/notifier/internal/link"
	"tenure/services/notifier/internal/store"
	"tenure/shared/query"
)

// Lifecycle answers how a tenant is and what a command would do.
type Lifecycle interface {
	Tenant(ctx context.Context, id string) (query.Tenant, error)
	Preview(ctx context.Context, q query.PreviewRequest) (query.Preview, error)
}

// Pages is safe for concurrent use.
type Pages struct {
	DB        *pgxpool.Pool
	Links     link.Links
	Lifecycle Lifecycle
	// Asked is called when somebody has asked for something: the command is stored, and waits to be sent.
	Asked func()
}

// Register adds the routes.
func (p *Pages) Register(mux *http.ServeMux) {
	for kind, routes := range map[link.Kind]struct{ get, post handler }{
		link.Back:        {p.showReturn, p.takeReturn},
		link.KeepPlan:    {p.showKeepPlan, p.keepPlan},
		link.KeepAccount: {p.showKeepAccount, p.keepAccount},
		link.Unsubscribe: {p.showUnsubscribe, p.unsubscribe},
		link.Opened:      {p.opened, nil},
	} {
		path := link.Root + string(kind) + "/{token}"
		mux.HandleFunc("GET "+path, p.serve(kind, routes.get))
		if routes.post != nil {
			mux.HandleFunc("POST "+path, p.serve(kind, routes.post))
		}
	}
}

// handler answers for a link that is good.
type handler func(w http.ResponseWriter, r *http.Request, t link.Token) error

// What becomes of a request, beside an answer.
var (
	errGone = errors.New("the link is over")
	errAway = errors.New("the lifecycle does not answer")
	errForm = errors.New("no page has such a form")
)

// serve finds out what a link says. One that was never made is answered like any path that does not exist.
func (p *Pages) serve(kind link.Kind, next handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		protect(w.Header())
		t, err := p.Links.Parse(kind, r.PathValue("token"), time.Now())
		if err == nil {
			err = p.ofThisLife(r.Context(), t)
		}
		if err == nil {
			err = next(w, r, t)
		}
		switch {
		case err == nil:
		case errors.Is(err, link.ErrUnknown):
			show(w, http.StatusNotFound, page{Title: "There is nothing here", Text: []string{"Please open the link just as it stands in the mail."}})
		case errors.Is(err, link.ErrExpired), errors.Is(err, errGone):
			show(w, http.StatusGone, page{Title: "This link is over", Text: []string{"It was good for a time, and that has passed."}})
		case errors.Is(err, errForm):
			show(w, http.StatusUnprocessableEntity, page{Title: "Please open the link again", Text: []string{"What was sent is not what this page asks for. Nothing was changed."}})
		case errors.Is(err, errAway):
			slog.WarnContext(r.Context(), "a link cannot be answered", "kind", kind, "tenant", t.Tenant, "error", err)
			w.Header().Set("Retry-After", "30")
			show(w, http.StatusServiceUnavailable, page{Title: "Please try again in a minute", Text: []string{"Something that this page needs does not answer. Nothing was changed."}})
		default:
			slog.ErrorContext(r.Context(), "a link cannot be answered", "kind", kind, "tenant", t.Tenant, "error", err)
			show(w, http.StatusInternalServerError, page{Title: "Something went wrong", Text: []string{"Please try again later."}})
		}
	}
}

// ofThisLife refuses links to a former life of a tenant: its mailbox may have been another's.
func (p *Pages) ofThisLife(ctx context.Context, t link.Token) error {
	if t.Tenant == "" {
		return nil
	}
	generation, err := store.Generation(ctx, p.DB, t.Tenant)
	if err != nil || generation <= t.Generation {
		return err
	}
	// The link that began the new life shows how that went.
	if act, err := store.ActByID(ctx, p.DB, t.ID()); err != nil || act != nil {
		return err
	}
	return errGone
}

// protect keeps browsers from doing more with a page than to show it. The address is a permission: it must reach nobody by
// way of a referrer, a cache or a search engine.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src '"+styleHash+"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Robots-Tag", "noindex, nofollow")
	h.Set("X-Content-Type-Options", "nosniff")
}

// page is what is shown.
type page struct {
	Title string
	// Notice is why the last try came to nothing, or what is missing.
	Notice string
	Text   []string
	// Return is the choice of a tenant that comes back.
	Return *choice
	// Button asks for the one thing that the link is for.
	Button string
	// Refresh: there is more to say in a moment.
	Refresh bool
	Style   template.CSS
}

//go:embed templates/*.html
var files embed.FS

//go:embed templates/style.css
var style string

var (
	templates = template.Must(template.ParseFS(files, "templates/*.html"))
	styleHash = hashOf(style)
)

// hashOf lets the page's one style sheet in, and no other.
func hashOf(style string) string {
	sum := sha256.Sum256([]byte(style))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func show(w http.ResponseWriter, status int, p page) {
	p.Style = template.CSS(style)
	var body bytes.Buffer
	if err := templates.ExecuteTemplate(&body, "page.html", p); err != nil {
		slog.Error("a page cannot be written", "title", p.Title, "error", err)
		http.Error(w, "Something went wrong. Please try again later.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the reader may be gone
}
