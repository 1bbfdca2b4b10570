package e2e

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenure/shared/client"
	"tenure/shared/testkit"
)

const (
	// returnDay is a "day" here, and returnDays for how long data is kept.
	returnDay  = 3 * time.Second
	returnDays = 8
	// halfPrice is the coupon of the campaign that asks whoever leaves to come back.
	halfPrice = "BACK50"
)

const winBack = `
offers:
  - {name: half, coupon: ` + halfPrice + `, says: half the price for a month, days: 300}
campaigns:
  - name: leaving
    triggers: [deletion_requested]
    steps:
      - name: at-once
        after_days: 0
        offer: half
        texts: {en: {subject: "{{.Offer}}", body: "{{.Link}}"}}
`

// startWinBack runs a system with a campaign, whose coupon is made at Stripe.
func startWinBack(t *testing.T) *system {
	t.Helper()
	file := filepath.Join(t.TempDir(), "campaigns.yaml")
	require.NoError(t, os.WriteFile(file, []byte(winBack), 0o600))
	s := start(t, "TENURE_CAMPAIGNS="+file, "TENURE_RETENTION_UNIT="+returnDay.String())
	s.coupon(halfPrice)
	s.freeze()
	return s
}

func (s *system) coupon(id string) {
	s.t.Helper()
	form := url.Values{"id": {id}, "percent_off": {"50"}, "duration": {"once"}}
	r, err := http.NewRequestWithContext(s.context(time.Minute), http.MethodPost, s.at.Stripe+"/v1/coupons", strings.NewReader(form.Encode()))
	require.NoError(s.t, err)
	r.Header.Set("Authorization", "Bearer "+s.stripeKey())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := s.http.Do(r)
	require.NoError(s.t, err)
	defer answer.Body.Close()
	require.Equal(s.t, http.StatusOK, answer.StatusCode)
}

// leave asks for a deletion, and returns its deadline and the link of the mail that asks to come back.
func (s *system) leave(id string) (due time.Time, link string) {
	s.t.Helper()
	days := returnDays
	_, err := s.api.Delete(s.context(time.Minute), id, client.Delete{RetentionDays: &days})
	require.NoError(s.t, err)
	tenant := s.await(id, "deleting")
	require.NotNil(s.t, tenant.Deletion)
	found := regexp.MustCompile(`http://\S+/l/back/\S+`)
	testkit.WaitFor(s.t, time.Minute, "the mail that asks "+id+" to come back", func() bool {
		_, body := s.call("GET", s.at.Mail, "")
		var mails []struct{ To, Subject, Text string }
		require.NoError(s.t, json.Unmarshal([]byte(body), &mails), body)
		for _, m := range mails {
			if strings.Contains(m.To, id+"@example.com") && m.Subject == "half the price for a month" {
				link = found.FindString(m.Text)
			}
		}
		return link != ""
	})
	return tenant.Deletion.ScheduledFor, link
}

// read fetches a page as a person does, without any token but the link's.
func (s *system) read(link string) string {
	s.t.Helper()
	answer, err := s.http.Get(link)
	require.NoError(s.t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, answer.StatusCode, "%s", body)
	return html.UnescapeString(string(body))
}

var hidden = regexp.MustCompile(`<input type="hidden" name="([a-z_]+)" value="([^"]*)">`)

// comeBack chooses on the page behind a link, then submits its form, and waits until the page tells of the return.
func (s *system) comeBack(link, data, plan string) (reviewed string) {
	s.t.Helper()
	reviewed = s.read(link + "?" + url.Values{"data": {data}, "plan": {plan}}.Encode())
	form := url.Values{"data": {data}, "plan": {plan}, "confirm": {"yes"}, "do": {"return"}}
	for _, field := range hidden.FindAllStringSubmatch(reviewed, -1) {
		form.Set(field[1], field[2])
	}
	answer, err := s.http.PostForm(link, form)
	require.NoError(s.t, err)
	require.NoError(s.t, answer.Body.Close())
	require.Equal(s.t, http.StatusOK, answer.StatusCode)
	testkit.WaitFor(s.t, time.Minute, "the page to tell of the return", func() bool { return strings.Contains(s.read(link), " is back</h1>") })
	return reviewed
}

func (s *system) keep(id, name, content string) {
	s.t.Helper()
	body, err := json.Marshal(map[string]string{"name": name, "content": content})
	require.NoError(s.t, err)
	status, answer := s.call("POST", s.at.HTTP+"/sample/"+id+"/documents", string(body))
	require.Less(s.t, status, 300, answer)
}

// documents are the contents of a tenant's current documents, by name.
func (s *system) documents(id string) map[string]string {
	s.t.Helper()
	status, body := s.call("GET", s.at.HTTP+"/sample/"+id+"/documents", "")
	require.Equal(s.t, 200, status, body)
	var page struct {
		Items []struct{ Name, Content string }
	}
	require.NoError(s.t, json.Unmarshal([]byte(body), &page), body)
	out := map[string]string{}
	for _, d := range page.Items {
		require.NotContains(s.t, out, d.Name, "one version is current")
		out[d.Name] = d.Content
	}
	return out
}

// outlive waits until a deadline that was called off has passed, and a while more: it changes nothing.
func (s *system) outlive(id string, due time.Time) {
	s.t.Helper()
	before := s.await(id, "active")
	require.Nil(s.t, before.Deletion)
	testkit.WaitFor(s.t, time.Minute, "the old deadline to pass", func() bool { return time.Now().After(due.Add(returnDay)) })
	after := s.await(id, "active")
	require.Equal(s.t, []any{before.Generation, before.Plan}, []any{after.Generation, after.Plan})
	for e, err := range s.api.Timeline(s.context(time.Minute), id) {
		require.NoError(s.t, err)
		require.NotContains(s.t, e.Type, "purge")
	}
}

// renewed moves Stripe's clock behind the next renewal, and returns what was charged since charged.
func (s *system) renewed(id string, charged int64) int64 {
	s.t.Helper()
	s.advance(32 * 24 * time.Hour)
	testkit.WaitFor(s.t, time.Minute, "the renewal to be paid", func() bool { return s.charges(id).Net > charged })
	return s.charges(id).Net - charged
}

// TestARestoredTenantComesBackByItsMail: all of its data is there, a document that is kept again afterwards is a new version
// of the one there was, the old deadline passes without a trace, and the renewal costs what was offered.
func TestARestoredTenantComesBackByItsMail(t *testing.T) {
	t.Parallel()
	s := startWinBack(t)
	s.signUp("acme", "starter")
	s.keep("acme", "plan.txt", "the first version")
	s.keep("acme", "other.txt", "untouched")
	due, link := s.leave("acme")

	page := s.comeBack(link, "restore", "starter")
	require.Contains(t, page, "half the price for a month")
	require.Contains(t, page, "$0.00", "the period is paid for")
	require.Contains(t, page, "$24.50", "the next one costs half")
	require.NotContains(t, page, "Tenant acme", "a page knows nobody's name")
	require.Equal(t, map[string]string{"plan.txt": "the first version", "other.txt": "untouched"}, s.documents("acme"))

	s.keep("acme", "plan.txt", "the second version")
	require.Equal(t, map[string]string{"plan.txt": "the second version", "other.txt": "untouched"}, s.documents("acme"))
	export, err := s.api.RequestExport(s.context(time.Minute), "acme", client.ExportRequest{})
	require.NoError(t, err)
	versions := strings.Join(s.download(s.exported(export.ID)).rows("documents"), "\n")
	require.Contains(t, versions, "the first version", "older versions are kept")
	require.Contains(t, versions, "the second version")

	s.outlive("acme", due)
	require.Len(t, s.documents("acme"), 2)
	s.checkActor("acme", "tenure.lifecycle.reactivation.started.v1")
	require.EqualValues(t, 4_900, s.charges("acme").Net, "nothing was charged for the return")
	require.EqualValues(t, 4_900/2, s.renewed("acme", 4_900), "the offer counts from the renewal on")
	require.Contains(t, s.read(link), "acme is back", "a link that was used shows what came of it")
}

// TestAFreshTenantComesBackByItsMail: none of its data is there, on another plan, for which it pays to the cent.
func TestAFreshTenantComesBackByItsMail(t *testing.T) {
	t.Parallel()
	s := startWinBack(t)
	s.signUp("acme", "starter")
	s.keep("acme", "plan.txt", "the first version")
	due, link := s.leave("acme")

	unconfirmed, err := s.http.PostForm(link, url.Values{"data": {"fresh"}, "plan": {"starter"}, "shown": {"fresh/starter"}, "do": {"return"}})
	require.NoError(t, err)
	body, err := io.ReadAll(unconfirmed.Body)
	require.NoError(t, err)
	require.NoError(t, unconfirmed.Body.Close())
	require.Contains(t, string(body), "destroys all of the data")
	s.await("acme", "deleting")

	page := s.comeBack(link, "fresh", "professional")
	require.Contains(t, page, "$150.00", "Stripe's clock stands: the whole difference")
	require.Equal(t, "professional", s.await("acme", "active").Plan)
	require.Empty(t, s.documents("acme"))
	s.keep("acme", "plan.txt", "begun anew")
	s.outlive("acme", due)
	require.Equal(t, map[string]string{"plan.txt": "begun anew"}, s.documents("acme"))
	require.EqualValues(t, 19_900, s.charges("acme").Net)
	require.EqualValues(t, 19_900/2, s.renewed("acme", 19_900))
}

// TestADeletedTenantComesBackByItsMail: after the purge the same link begins a new life, with a new subscription that is
// charged as offered, once.
func TestADeletedTenantComesBackByItsMail(t *testing.T) {
	t.Parallel()
	s := startWinBack(t)
	s.signUp("acme", "starter")
	s.keep("acme", "plan.txt", "the first version")
	_, link := s.leave("acme")
	s.await("acme", "deleted")
	paid := s.charges("acme").Net

	page := s.comeBack(link, "fresh", "starter")
	require.NotContains(t, page, `value="restore"`)
	require.Contains(t, page, "$24.50")
	tenant := s.await("acme", "active")
	require.EqualValues(t, 2, tenant.Generation)
	require.Empty(t, s.documents("acme"))
	require.EqualValues(t, 4_900/2, s.charges("acme").Net-paid)
	require.EqualValues(t, 4_900, s.renewed("acme", paid+4_900/2), "the offer was for one month")
}

// checkActor holds the log to naming the mail whose link was used.
func (s *system) checkActor(id, eventType string) {
	s.t.Helper()
	for e, err := range s.api.Timeline(s.context(time.Minute), id) {
		require.NoError(s.t, err)
		if e.Type == eventType {
			require.True(s.t, strings.HasPrefix(e.Actor, "link:"), fmt.Sprintf("%s by %s", e.Type, e.Actor))
			return
		}
	}
	s.t.Errorf("%s has no %s", id, eventType)
}
