package pages_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tenure/services/notifier/internal/link"
	"tenure/services/notifier/internal/pages"
	"tenure/services/notifier/internal/store"
	"tenure/services/notifier/migrations"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/query"
	"tenure/shared/testkit"
)

// site is the pages on a real database; the test answers for the lifecycle.
type site struct {
	t     *testing.T
	db    *pgxpool.Pool
	links link.Links
	mux   *http.ServeMux
	asked int

	mu       sync.Mutex
	tenant   query.Tenant
	away     bool
	preview  query.Preview
	previews []query.PreviewRequest
}

func newSite(t *testing.T) *site {
	t.Helper()
	address := testkit.Postgres(t)
	require.NoError(t, pg.Migrate(t.Context(), address, "notifier", migrations.Files))
	db, err := pg.Open(t.Context(), address, "notifier")
	require.NoError(t, err)
	t.Cleanup(db.Close)
	s := &site{t: t, db: db, links: link.New("", []byte("key")), mux: http.NewServeMux()}
	due := time.Date(2030, 1, 2, 3, 4, 0, 0, time.UTC)
	s.tenant = query.Tenant{
		Tenant: "acme", Generation: 1, State: "deleting", Plan: "starter", Restorable: true, DeletionDue: &due,
		Plans: []query.Plan{{Name: "free"}, {Name: "starter", PriceCents: 4_900}, {Name: "professional", PriceCents: 19_900}},
	}
	s.preview = query.Preview{Allowed: true, PlanHash: "h1", Cost: query.Cost{Currency: "usd", DueNowCents: 2_450, NextCents: 4_900, NextAt: &due, Source: "stripe"}}
	(&pages.Pages{DB: db, Links: s.links, Lifecycle: s, Asked: func() { s.asked++ }}).Register(s.mux)
	return s
}

func (s *site) Tenant(context.Context, string) (query.Tenant, error) {
	if s.away {
		return query.Tenant{}, errors.New("no responders")
	}
	return s.tenant, nil
}

func (s *site) Preview(_ context.Context, q query.PreviewRequest) (query.Preview, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.previews = append(s.previews, q)
	return s.preview, nil
}

func (s *site) do(method, address, contentType, body string) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, address, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	return w
}

func (s *site) get(address string) *httptest.ResponseRecorder { return s.do("GET", address, "", "") }

func (s *site) post(address string, form url.Values) *httptest.ResponseRecorder {
	return s.do("POST", address, "application/x-www-form-urlencoded", form.Encode())
}

func (s *site) exec(sql string, args ...any) {
	s.t.Helper()
	_, err := s.db.Exec(s.t.Context(), sql, args...)
	require.NoError(s.t, err)
}

// acts lists what is to be sent.
func (s *site) acts() []store.Act {
	s.t.Helper()
	list, err := store.QueuedActs(s.t.Context(), s.db, 10)
	require.NoError(s.t, err)
	return list
}

// mailed stores a campaign's mail that offers a coupon until then.
func (s *site) mailed(id string, until time.Time) {
	s.exec(`INSERT INTO campaign_mails (id, campaign, tenant_id, generation, step, variant, offer, coupon, says, offer_until)
		VALUES ($1, 'win-back', 'acme', 1, 'first', 'a', 'half', 'BACK50', 'half the price for a month', $2)`, id, until)
}

func (s *site) back() string { return s.links.Back("acme", 1, "", time.Now().Add(time.Hour)) }

// form is what a browser posts that was shown this choice.
func form(data, plan, hash string) url.Values {
	return url.Values{"data": {data}, "plan": {plan}, "shown": {data + "/" + plan}, "plan_hash": {hash}, "confirm": {"yes"}, "do": {"return"}}
}

func reactivate(t *testing.T, a store.Act) events.Reactivate {
	t.Helper()
	require.Equal(t, "tenure.command.reactivate.v1", a.CommandType)
	var c events.Reactivate
	require.NoError(t, json.Unmarshal(a.Data, &c))
	return c
}

func TestAPageIsShownAndNothingElse(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	w := s.get(s.back())
	require.Equal(t, 200, w.Code, w.Body)
	h := w.Header()
	require.Equal(t, "no-referrer", h.Get("Referrer-Policy"))
	require.Equal(t, "no-store", h.Get("Cache-Control"))
	require.Equal(t, "noindex, nofollow", h.Get("X-Robots-Tag"))
	require.Empty(t, h.Values("Set-Cookie"))

	_, rest, _ := strings.Cut(w.Body.String(), "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	require.Contains(t, h.Get("Content-Security-Policy"), "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	require.NotContains(t, w.Body.String(), "<script")
	require.NotContains(t, w.Body.String(), "http")

	for _, said := range []string{"Welcome back, acme", "2 January 2030, 03:04 UTC", "$24.50", "$49.00", "professional, $199.00 a month", "Come back to starter"} {
		require.Contains(t, w.Body.String(), said)
	}
	require.Empty(t, s.acts(), "looking changes nothing")
	for _, asked := range s.previews {
		require.Contains(t, asked.Actor, "link:")
	}
}

func TestALinkThatIsNotGoodTellsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	good := s.back()
	token := strings.TrimPrefix(good, "/l/back/")
	forged := link.New("", []byte("other")).Back("acme", 1, "", time.Now().Add(time.Hour))
	var bodies []string
	for name, address := range map[string]string{
		"forged": forged, "cut": good[:len(good)-1], "nonsense": "/l/back/x", "of another kind": "/l/keep-account/" + token, "for nobody": "/l/opened/" + token,
	} {
		for _, w := range []*httptest.ResponseRecorder{s.get(address), s.post(address, form("restore", "starter", "h1"))} {
			if w.Code == http.StatusMethodNotAllowed {
				continue // a picture takes no POST
			}
			require.Equal(t, 404, w.Code, name)
			bodies = append(bodies, w.Body.String())
		}
	}
	for _, body := range bodies {
		require.Equal(t, bodies[0], body)
	}
	require.Equal(t, 410, s.get(s.links.Back("acme", 1, "", time.Now().Add(-time.Second))).Code)
	require.Equal(t, 410, s.post(s.links.KeepPlan("acme", 1, "m", time.Now().Add(-time.Second)), nil).Code)
	require.Empty(t, s.acts())
}

func TestALinkEndsWithTheLifeThatItIsAbout(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.exec(`INSERT INTO tenants (tenant_id, generation, born_at) VALUES ('acme', 2, now())`)
	for _, address := range []string{
		s.back(), s.links.KeepPlan("acme", 1, "m", time.Now().Add(time.Hour)), s.links.KeepAccount("acme", 1, "m", time.Now().Add(time.Hour)), s.links.Unsubscribe("acme", 1),
	} {
		require.Equal(t, 410, s.get(address).Code, address)
		require.Equal(t, 410, s.post(address, form("restore", "starter", "h1")).Code, address)
	}
	require.Empty(t, s.acts())

	s.tenant.Generation = 3 // of which no event has told yet
	require.Equal(t, 410, s.get(s.links.Back("acme", 2, "", time.Now().Add(time.Hour))).Code)
}

func TestAReturnIsAskedForOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	address := s.back()
	w := s.post(address, form("restore", "professional", "h1"))
	require.Equal(t, 303, w.Code, w.Body)
	require.Equal(t, address, w.Header().Get("Location"))
	s.post(address, form("fresh", "starter", "h2")) // too late
	acts := s.acts()
	require.Len(t, acts, 1)
	require.Equal(t, 1, s.asked)
	c := reactivate(t, acts[0])
	require.Equal(t, []any{"professional", true, "h1", ""}, []any{c.Plan, *c.RestoreData, c.PlanHash, c.Coupon})
	require.Contains(t, acts[0].Actor, "link:")

	w = s.get(address)
	require.Contains(t, w.Body.String(), `http-equiv="refresh"`)
	s.exec(`UPDATE acts SET state = 'done'`)
	w = s.get(address)
	require.Contains(t, w.Body.String(), "acme is back")
	require.NotContains(t, w.Body.String(), "refresh")
	require.NotContains(t, w.Body.String(), "<form")
}

func TestNobodyAgreesToWhatWasNotShown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	address := s.back()
	changed := form("restore", "professional", "h1")
	changed.Set("shown", "restore/starter")
	w := s.post(address, changed)
	require.Equal(t, 303, w.Code)
	w = s.get(w.Header().Get("Location"))
	require.Contains(t, w.Body.String(), "This is what your choice means")
	require.Contains(t, w.Body.String(), "Come back to professional")

	unconfirmed := form("fresh", "starter", "h1")
	unconfirmed.Del("confirm")
	w = s.get(s.post(address, unconfirmed).Header().Get("Location"))
	require.Contains(t, w.Body.String(), "destroys all of the data")
	require.Contains(t, w.Body.String(), "confirm that the old data is destroyed")
	require.Contains(t, w.Body.String(), `type="checkbox"`)

	looking := form("fresh", "starter", "h1")
	looking.Set("do", "show")
	require.Equal(t, 303, s.post(address, looking).Code)
	require.Empty(t, s.acts())
}

func TestAFormThatNoPageHasIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, plan := range []string{strings.Repeat("x", 65), "\x00"} {
		require.Equal(t, 422, s.post(s.back(), form("restore", plan, "h1")).Code)
	}
	require.Equal(t, 422, s.post(s.back(), form("restore", "starter", strings.Repeat("h", 65))).Code)
	require.Empty(t, s.acts())
}

func TestWhatStandsInTheWayIsSaid(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.preview.Refusal = &query.Refusal{Code: "on_hold", Detail: `the old data is on legal hold; possible now: export`}
	body := s.get(s.back()).Body.String()
	require.Contains(t, body, "Not possible now: the old data is on legal hold.")
	require.NotContains(t, body, "possible now: export")
	require.NotContains(t, body, "Come back to")

	s.preview.Refusal = nil
	s.preview.OverLimit = []query.OverLimit{{Metric: "documents", Usage: 60, Limit: 50}}
	due := time.Now()
	s.tenant.PendingPlan, s.tenant.PendingDue = "free", &due
	body = s.get(s.back()).Body.String()
	require.Contains(t, body, "documents 60 of 50")
	require.Contains(t, body, "The move to free")
}

func TestAReturnThatCameToNothingMayBeTriedAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	address := s.back()
	s.post(address, form("restore", "starter", "h1"))
	first := s.acts()[0]
	require.NoError(t, store.ActOnBus(t.Context(), s.db, first.CommandID))
	require.NoError(t, store.EndAct(t.Context(), s.db, first.CommandID, store.ActRefused, "the facts have moved; possible now: export"))
	body := s.get(address).Body.String()
	require.Contains(t, body, "This did not work, and nothing was changed: the facts have moved.")
	require.Contains(t, body, "Come back to starter")

	s.post(address, form("restore", "starter", "h2"))
	second := s.acts()[0]
	require.NotEqual(t, first.CommandID, second.CommandID, "the lifecycle remembers the first one's answer")
	require.Equal(t, "h2", reactivate(t, second).PlanHash)
}

func TestAfterThePurgeThereIsOnlyAFreshStart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.tenant.State, s.tenant.Restorable, s.tenant.DeletionDue = "deleted", false, nil
	address := s.back()
	body := s.get(address).Body.String()
	require.NotContains(t, body, `value="restore"`)
	require.NotContains(t, body, `type="checkbox"`)
	require.Contains(t, body, "You can start fresh")

	s.tenant.State = "purging"
	require.Contains(t, s.get(address).Body.String(), "Its data is being destroyed at this moment")
	s.tenant.State = "active"
	require.Contains(t, s.get(address).Body.String(), "acme is active")
}

func TestTheOfferGoesAlongWhileItStands(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.mailed("m1", time.Now().Add(time.Hour))
	s.mailed("m2", time.Now().Add(-time.Hour))
	good, over := s.links.Back("acme", 1, "m1", time.Now().Add(time.Hour)), s.links.Back("acme", 1, "m2", time.Now().Add(time.Hour))
	require.Contains(t, s.get(good).Body.String(), "half the price for a month")
	require.Equal(t, "BACK50", s.previews[0].Fields["coupon"])
	require.NotContains(t, s.get(over).Body.String(), "half the price for a month")

	s.post(good, form("restore", "starter", "h1"))
	s.post(over, form("restore", "starter", "h1"))
	acts := s.acts()
	require.Equal(t, []any{"BACK50", "m1", "link:m1"}, []any{reactivate(t, acts[0]).Coupon, acts[0].MailID, acts[0].Actor})
	require.Equal(t, []any{"", "", "link:m2"}, []any{reactivate(t, acts[1]).Coupon, acts[1].MailID, acts[1].Actor})
}

func TestFollowingALinkIsNotedAndLookingAheadIsNot(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.mailed("m1", time.Now().Add(time.Hour))
	clicked := func() bool {
		m, err := store.CampaignMailByID(t.Context(), s.db, "m1")
		require.NoError(t, err)
		return m.ClickedAt != nil
	}
	address := s.links.Back("acme", 1, "m1", time.Now().Add(time.Hour))
	require.Equal(t, 200, s.do("HEAD", address, "", "").Code)
	require.False(t, clicked())
	s.get(address)
	require.True(t, clicked())
}

func TestAPlanIsKept(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	due := time.Date(2030, 1, 2, 3, 4, 0, 0, time.UTC)
	s.tenant.State, s.tenant.Plan, s.tenant.PendingPlan, s.tenant.PendingDue, s.tenant.DeletionDue = "active", "professional", "starter", &due, nil
	address := s.links.KeepPlan("acme", 1, "m1", due)
	body := s.get(address).Body.String()
	require.Contains(t, body, "Stay on professional")
	require.Contains(t, body, "2 January 2030, 03:04 UTC")
	require.Equal(t, 303, s.post(address, nil).Code)
	acts := s.acts()
	require.Len(t, acts, 1)
	require.Equal(t, []any{"tenure.command.cancel_change.v1", "link:m1"}, []any{acts[0].CommandType, acts[0].Actor})

	s.tenant.PendingDue = nil
	require.Contains(t, s.get(s.links.KeepPlan("acme", 1, "m2", due)).Body.String(), "no change is scheduled")
}

func TestAnAccountIsKept(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	address := s.links.KeepAccount("acme", 1, "m1", *s.tenant.DeletionDue)
	require.Contains(t, s.get(address).Body.String(), "Keep acme")
	require.Equal(t, 303, s.post(address, nil).Code)
	require.Equal(t, "tenure.command.cancel_deletion.v1", s.acts()[0].CommandType)

	s.tenant.DeletionDue, s.tenant.State = nil, "active"
	require.Contains(t, s.get(s.links.KeepAccount("acme", 1, "m2", time.Now().Add(time.Hour))).Body.String(), "no deletion is scheduled")
}

func TestUnsubscribeByHandAndByOneClick(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	address := s.links.Unsubscribe("acme", 1)
	suppressed := func() bool {
		found, err := store.Suppressed(t.Context(), s.db, "acme")
		require.NoError(t, err)
		return found != nil
	}
	require.Contains(t, s.get(address).Body.String(), "<button>Send no more offers</button>")
	require.False(t, suppressed(), "programs look at links, too")
	require.Contains(t, s.post(address, nil).Body.String(), "You get no more mails")
	require.True(t, suppressed())
	require.NotContains(t, s.get(address).Body.String(), "<button>")

	// RFC 8058, 3.2: either form of body; neither a page nor a redirect comes back.
	var body bytes.Buffer
	parts := multipart.NewWriter(&body)
	require.NoError(t, parts.WriteField("List-Unsubscribe", "One-Click"))
	require.NoError(t, parts.Close())
	for contentType, sent := range map[string]string{
		"application/x-www-form-urlencoded": "List-Unsubscribe=One-Click", parts.FormDataContentType(): body.String(),
	} {
		require.NoError(t, store.Unsuppress(t.Context(), s.db, "acme"))
		w := s.do("POST", address, contentType, sent)
		require.Equal(t, 200, w.Code)
		require.Empty(t, w.Body.String())
		require.True(t, suppressed(), contentType)
	}
}

func TestAPictureTellsThatAMailWasOpened(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.mailed("m1", time.Now())
	w := s.get(s.links.Opened("m1"))
	require.Equal(t, []any{200, "image/gif"}, []any{w.Code, w.Header().Get("Content-Type")})
	var opened bool
	require.NoError(t, s.db.QueryRow(t.Context(), `SELECT opened_at IS NOT NULL FROM campaign_mails`).Scan(&opened))
	require.True(t, opened)
	require.Equal(t, 404, s.get("/l/opened/m1").Code)
}

func TestWithoutTheLifecycleAWishIsStillTaken(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.away = true
	address := s.back()
	w := s.get(address)
	require.Equal(t, []any{503, "30"}, []any{w.Code, w.Header().Get("Retry-After")})
	require.Equal(t, 303, s.post(address, form("restore", "starter", "h1")).Code)
	require.Len(t, s.acts(), 1)
	require.Contains(t, s.get(address).Body.String(), "your wish is stored")
}
