package pages_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// browserTime bounds a test with a browser, which may have to be loaded from a cold disk.
const browserTime = 2 * time.Minute

// browser starts Chromium with the window of a small phone; complaints is what it has said of the pages so far.
func browser(t *testing.T) (ctx context.Context, complaints func() []string) {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("Chromium is missing: run scripts/setup test, or install it (Debian: apt-get install chromium)")
	}
	ctx, cancel := context.WithTimeout(t.Context(), browserTime)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	var mu sync.Mutex
	var said []string
	chromedp.ListenTarget(ctx, func(event any) {
		if e, ok := event.(*log.EventEntryAdded); ok && !strings.Contains(e.Entry.URL, "favicon") {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, e.Entry.Text)
		}
	})
	require.NoError(t, chromedp.Run(ctx, log.Enable(), chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile)))
	return ctx, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return said
	}
}

// readable holds the page in the browser to what everybody can use: nothing is wider than the phone, every field has a label,
// and whatever is to be touched is large enough (WCAG 2.2, 2.5.8).
const readable = `
	document.documentElement.scrollWidth <= window.innerWidth &&
	[...document.querySelectorAll("input:not([type=hidden]), select")].every(field => field.labels.length > 0) &&
	[...document.querySelectorAll("button, select, label:has(input)")].every(e => e.getBoundingClientRect().height >= 24) &&
	document.querySelector("h1").textContent !== "" && document.documentElement.lang === "en"`

func TestAPersonComesBackWithABrowser(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	server := httptest.NewServer(s.mux)
	t.Cleanup(server.Close)
	ctx, complaints := browser(t)
	check := func(what string) chromedp.Action {
		return chromedp.ActionFunc(func(ctx context.Context) error {
			var ok bool
			if err := chromedp.Evaluate(readable, &ok).Do(ctx); err != nil {
				return err
			}
			if !ok {
				return fmt.Errorf("%s is not for everybody to use", what)
			}
			return nil
		})
	}
	var first, second, third string
	require.NoError(t, chromedp.Run(ctx,
		chromedp.Navigate(server.URL+s.back()),
		chromedp.WaitVisible(`button[value=return]`), check("the choice"),
		chromedp.Text("main", &first),
		chromedp.SetValue("#plan", "professional"),
		chromedp.Click(`input[value=fresh]`),
		chromedp.Click(`button[value=return]`),

		chromedp.WaitVisible(`input[name=confirm][type=checkbox]`), check("the choice again"),
		chromedp.Text("main", &second),
		chromedp.Click(`input[name=confirm]`),
		chromedp.Click(`button[value=return]`),

		chromedp.WaitNotPresent("form"), check("the wait"),
		chromedp.Text("main", &third),
	))
	require.Contains(t, first, "Welcome back, acme")
	require.Contains(t, second, "This is what your choice means")
	require.Contains(t, second, "Come back to professional")
	require.Contains(t, third, "One moment, please")

	acts := s.acts()
	require.Len(t, acts, 1)
	c := reactivate(t, acts[0])
	require.Equal(t, []any{"professional", false, "h1"}, []any{c.Plan, *c.RestoreData, c.PlanHash})

	s.exec(`UPDATE acts SET state = 'done'`)
	require.NoError(t, chromedp.Run(ctx, chromedp.WaitVisible(`//h1[text()="acme is back"]`)), "the page shows the end by itself")
	require.Empty(t, complaints(), "the browser refuses nothing of the page")
}
