package notifier_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tenure/shared/events"
	"tenure/shared/query"
	"tenure/shared/testkit"
)

const campaignFile = `
frequency: {mails: 2, days: 7}
offers: [{name: less, coupon: LESS20, says: 20% off, budget: 1, days: 14}]
campaigns:
  - name: leaving
    triggers: [deletion_requested, suspended_for_non_payment]
    steps:
      - name: first
        after_days: 0
        texts:
          en: {subject: "Stay with us, {{.Tenant}}", body: "Hello {{.Name}},\n\n{{.Link}}"}
          de: {subject: "Bleiben Sie, {{.Tenant}}", body: "{{.Link}}"}
      - name: second
        after_days: 2
        offer: less
        without_offer: true
        texts: {en: {subject: "{{.Tenant}}{{with .Offer}}: {{.}}{{end}}", body: "{{.Link}}"}}
`

// lifecycle answers how tenants are, as the test says.
type lifecycle struct {
	mu     sync.Mutex
	states map[string]string
	silent bool
}

func (l *lifecycle) set(tenant, state string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.states[tenant] = state
}

// campaigning starts a notifier with the campaign file, and a lifecycle to be asked.
func (w *world) campaigning(file string) *lifecycle {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "campaigns.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.environ["TENURE_CAMPAIGNS"] = path
	l := &lifecycle{states: map[string]string{}}
	ctx, cancel := context.WithCancel(w.t.Context())
	answering := make(chan error, 1)
	go func() {
		answering <- w.bus.Answer(ctx, query.LifecycleTenant, func(_ context.Context, question []byte) (any, error) {
			var q query.TenantRequest
			if err := json.Unmarshal(question, &q); err != nil {
				return nil, err
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.silent {
				return nil, fmt.Errorf("the database is away")
			}
			return query.Tenant{Tenant: q.Tenant, Generation: 1, State: l.states[q.Tenant], Plan: "starter"}, nil
		})
	}()
	w.t.Cleanup(func() {
		cancel()
		if err := testkit.Receive(w.t, soon, answering); err != nil {
			w.t.Error(err)
		}
	})
	return l
}

// leave has a tenant sign up and ask for its deletion.
func (w *world) leave(l *lifecycle, tenant string) {
	w.t.Helper()
	w.register(tenant)
	l.set(tenant, "deleting")
	w.publish(tenant,
		&events.TenantRegistered{Change: events.Change{To: "provisioning"}, Generation: 1, Plan: "starter"},
		&events.TenantActivated{Change: events.Change{To: "active"}, Plan: "starter"},
		&events.DeletionRequested{Change: events.Change{To: "deleting"}, ScheduledFor: time.Now().Add(30 * day), RetentionDays: 30})
}

// back has a tenant return, the lifecycle first.
func (w *world) back(l *lifecycle, tenant string) {
	w.t.Helper()
	l.set(tenant, "reactivating")
	w.publish(tenant, &events.ReactivationStarted{Change: events.Change{To: "reactivating"}})
	l.set(tenant, "active")
	w.publish(tenant, &events.TenantReactivated{Change: events.Change{To: "active"}, Plan: "starter", RestoreData: true})
}

// campaignMails are the subjects of the mails to a tenant that can be unsubscribed from.
func (w *world) campaignMails(tenant string) (subjects []string) {
	for _, m := range w.mail.Mails() {
		if m.To == tenant+"@example.com" && m.Header.Get("List-Unsubscribe") != "" {
			subjects = append(subjects, m.Header.Get("Subject"))
		}
	}
	return subjects
}

func (w *world) wantCampaignMails(tenant string, n int) []string {
	w.t.Helper()
	testkit.WaitFor(w.t, soon, fmt.Sprintf("%d campaign mails to %s", n, tenant), func() bool { return len(w.campaignMails(tenant)) >= n })
	return w.campaignMails(tenant)
}

// turn makes the time until the next steps shorter by d, and the mails before as much older.
func (w *world) turn(d time.Duration) {
	w.t.Helper()
	for _, sql := range []string{
		`UPDATE notifier.enrollments SET due_at = due_at - $1::interval, at = at - $1::interval`,
		`UPDATE notifier.campaign_mails SET at = at - $1::interval, offer_until = offer_until - $1::interval`,
	} {
		if _, err := w.db.Exec(w.t.Context(), sql, d); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) enrollment(tenant string) (state, reason string, returned bool) {
	w.t.Helper()
	err := w.db.QueryRow(w.t.Context(), `SELECT state, reason, returned_at IS NOT NULL FROM notifier.enrollments WHERE tenant_id = $1`, tenant).
		Scan(&state, &reason, &returned)
	if err != nil {
		w.t.Fatal(err)
	}
	return state, reason, returned
}

func TestALostTenantIsAskedToComeBack(t *testing.T) {
	w := newWorld(t)
	l := w.campaigning(campaignFile)
	stop := w.run()
	w.leave(l, "acme")
	w.leave(l, "bolt")
	w.wantCampaignMails("acme", 1)
	w.wantCampaignMails("bolt", 1)
	for _, m := range w.mail.Mails() {
		if m.Header.Get("List-Unsubscribe") == "" {
			continue
		}
		if m.Header.Get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" || !strings.Contains(m.Body, "/l/back/") || !strings.Contains(m.Body, "/l/unsubscribe/") {
			t.Errorf("the mail is %v\n%s", m.Header, m.Body)
		}
	}
	stop()
	w.run() // a restart sends nothing again
	w.turn(2 * day)
	first, second := w.wantCampaignMails("acme", 2), w.wantCampaignMails("bolt", 2)
	if offers := strings.Count(strings.Join(append(first, second...), "\n"), "20% off"); offers != 1 {
		t.Errorf("%d tenants have an offer that one may have: %q %q", offers, first, second)
	}
	testkit.WaitFor(t, soon, "the campaign is done", func() bool { state, reason, _ := w.enrollment("acme"); return state+reason == "stoppeddone" })
}

func TestAReturnEndsItsCampaign(t *testing.T) {
	w := newWorld(t)
	l := w.campaigning(campaignFile)
	w.run()
	w.leave(l, "acme")
	w.wantCampaignMails("acme", 1)
	w.back(l, "acme")
	testkit.WaitFor(t, soon, "the campaign has stopped", func() bool { state, _, _ := w.enrollment("acme"); return state == "stopped" })
	testkit.WaitFor(t, soon, "the return is noted", func() bool { _, reason, returned := w.enrollment("acme"); return returned && reason == "returned" })
	w.turn(10 * day)
	w.leave(l, "later")
	w.wantCampaignMails("later", 1)
	if got := w.campaignMails("acme"); len(got) != 1 {
		t.Errorf("mails after the return: %q", got)
	}
}

// What the lifecycle says right before the mail leaves counts, whatever has been heard of it until then.
func TestNobodyOnTheWayBackIsAsked(t *testing.T) {
	w := newWorld(t)
	l := w.campaigning(campaignFile)
	w.run()
	l.silent = true
	w.leave(l, "acme")
	testkit.WaitFor(t, soon, "the mail waits for the lifecycle's word", func() bool {
		var waits bool
		if err := w.db.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM notifier.messages WHERE template = 'campaign' AND error LIKE 'the lifecycle did not say%')`).Scan(&waits); err != nil {
			t.Fatal(err)
		}
		return waits
	})
	l.mu.Lock()
	l.silent = false
	l.mu.Unlock()
	l.set("acme", "reactivating")
	w.advance(time.Minute)
	testkit.WaitFor(t, soon, "news are waited for", func() bool {
		var waits bool
		if err := w.db.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM notifier.messages WHERE template = 'campaign' AND error LIKE 'news of the tenant%')`).Scan(&waits); err != nil {
			t.Fatal(err)
		}
		return waits
	})
	w.back(l, "acme")
	testkit.WaitFor(t, soon, "the mail is taken back", func() bool {
		var state string
		if err := w.db.QueryRow(t.Context(), `SELECT state FROM notifier.messages WHERE template = 'campaign'`).Scan(&state); err != nil {
			t.Fatal(err)
		}
		return state == "superseded"
	})
	if got := w.campaignMails("acme"); len(got) != 0 {
		t.Errorf("mails: %q", got)
	}
}

func TestWhoCannotBeReachedOrWantsNothingIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	l := w.campaigning(campaignFile)
	w.mail.Refuse(func(command, address string) int {
		if command == "RCPT" && strings.HasPrefix(address, "gone@") {
			return 550
		}
		return 0
	})
	w.run()
	for _, tenant := range []string{"gone", "quiet", "held"} {
		w.leave(l, tenant)
	}
	w.wantCampaignMails("quiet", 1)
	w.wantCampaignMails("held", 1)
	if _, err := w.db.Exec(t.Context(), `INSERT INTO notifier.suppressions VALUES ('quiet', 'unsubscribed')`); err != nil {
		t.Fatal(err)
	}
	w.publish("held", &events.HoldPlaced{HoldID: "hold-1"})
	testkit.WaitFor(t, soon, "the hold stops it", func() bool { _, reason, _ := w.enrollment("held"); return reason == "held" })
	w.turn(2 * day)
	testkit.WaitFor(t, soon, "unsubscribing stops it", func() bool { _, reason, _ := w.enrollment("quiet"); return reason == "unsubscribed" })
	testkit.WaitFor(t, soon, "a bounce stops it", func() bool { _, reason, _ := w.enrollment("gone"); return reason == "bounced" })
	for _, tenant := range []string{"quiet", "held"} {
		if got := w.campaignMails(tenant); len(got) != 1 {
			t.Errorf("mails to %s: %q", tenant, got)
		}
	}
}

// The server is away for a day: each mail leaves once afterwards, and nothing that is not worth sending any more.
func TestCampaignMailsWaitForTheirServer(t *testing.T) {
	w := newWorld(t)
	l := w.campaigning(campaignFile)
	w.mail.Stop()
	stop := w.run()
	for i := range 20 {
		w.leave(l, fmt.Sprintf("t%d", i))
	}
	testkit.WaitFor(t, soon, "all mails are asked for", func() bool {
		var n int
		if err := w.db.QueryRow(t.Context(), `SELECT count(*) FROM notifier.messages WHERE template = 'campaign'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 20
	})
	stop()
	w.advance(day)
	w.run()
	w.back(l, "t0")
	testkit.WaitFor(t, soon, "the return is heard", func() bool { _, reason, _ := w.enrollment("t0"); return reason == "returned" })
	w.mail.Start()
	testkit.WaitFor(t, 2*soon, "the sender has noticed", func() bool { return len(w.campaignMails("t1")) > 0 })
	for i := 1; i < 20; i++ {
		w.wantCampaignMails(fmt.Sprintf("t%d", i), 1)
	}
	w.turn(0)
	for i := range 20 {
		want := 1
		if i == 0 {
			want = 0
		}
		if got := w.campaignMails(fmt.Sprintf("t%d", i)); len(got) != want {
			t.Errorf("mails to t%d: %q", i, got)
		}
	}
}

// 500 tenants return at the moment in which their mail is about to leave. Between the first word of a return and its end
// the lifecycle hears from participants over the bus; a mail that the server had taken by then was before the end.
func TestReturnAndMailAtTheSameMoment(t *testing.T) {
	const trials = 500
	w := newWorld(t)
	l := w.campaigning(campaignFile)
	w.mail.Stop()
	stop := w.run()
	for i := range trials {
		w.leave(l, fmt.Sprintf("t%d", i))
	}
	testkit.WaitFor(t, 2*soon, "all mails are asked for", func() bool {
		var n int
		if err := w.db.QueryRow(t.Context(), `SELECT count(*) FROM notifier.messages WHERE template = 'campaign'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == trials
	})
	stop()
	w.advance(time.Hour)
	// A mail to one tenant, as the server takes it, has the next one return: its mail is the next to leave.
	next := make(chan int, 2*trials)
	w.mail.Refuse(func(command, address string) int {
		var i int
		if _, err := fmt.Sscanf(address, "t%d@", &i); err == nil && command == "DATA" {
			next <- i + 1 + i%3
		}
		return 0
	})
	w.mail.Start()
	w.run()
	returned := map[int]time.Time{}
	for seen := 0; seen < trials; { // the mails about the deletion itself come first
		testkit.Receive(t, soon, next)
		seen++
	}
	comeBack := func(i int) {
		if _, gone := returned[i]; !gone && i < trials {
			w.back(l, fmt.Sprintf("t%d", i))
			returned[i] = time.Now()
		}
	}
	for idle := false; !idle; {
		select {
		case i := <-next:
			comeBack(i)
		case <-time.After(2 * time.Second): // longer than any mail waits for the lifecycle's word
			idle = true
		}
	}
	for i := range trials {
		comeBack(i)
	}
	testkit.WaitFor(t, soon, "all is decided", func() bool {
		var n int
		if err := w.db.QueryRow(t.Context(), `SELECT count(*) FROM notifier.messages WHERE template = 'campaign' AND state = 'queued'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 0
	})
	sent := 0
	for _, m := range w.mail.Mails() {
		if m.Header.Get("List-Unsubscribe") == "" {
			continue
		}
		sent++
		var i int
		if _, err := fmt.Sscanf(m.To, "t%d@", &i); err != nil {
			t.Fatal(err)
		}
		if m.At.After(returned[i]) {
			t.Errorf("t%d was asked to come back %v after it had", i, m.At.Sub(returned[i]))
		}
	}
	t.Logf("%d of %d mails left before their tenant was back", sent, trials)
}

func TestWhatACampaignHasComeTo(t *testing.T) {
	w := newWorld(t)
	l := w.campaigning(strings.Replace(campaignFile, "    steps:\n      - name: first", "    holdout_percent: 50\n    steps:\n      - name: first", 1))
	w.run()
	const tenants = 40
	for i := range tenants {
		w.leave(l, fmt.Sprintf("t%d", i))
	}
	var results struct {
		Items []struct {
			Name    string
			Treated struct {
				Enrolled, Sent, Returned int
				Revenue                  int64 `json:"revenue_cents"`
			}
			Holdout struct{ Enrolled, Sent, Returned int }
			Lift    *float64
		}
	}
	read := func() bool {
		results.Items = nil
		return w.call("GET", "/v1/campaigns", "dev", nil, &results) == 200 && len(results.Items) == 1
	}
	testkit.WaitFor(t, soon, "all treated were told", func() bool {
		return read() && results.Items[0].Treated.Enrolled+results.Items[0].Holdout.Enrolled == tenants &&
			results.Items[0].Treated.Sent == results.Items[0].Treated.Enrolled
	})
	first := results.Items[0]
	if first.Holdout.Sent != 0 || first.Holdout.Enrolled < tenants/5 || first.Treated.Enrolled < tenants/5 {
		t.Fatalf("half of %d are held out: %+v", tenants, first)
	}
	told := ""
	for i := range tenants {
		if len(w.campaignMails(fmt.Sprintf("t%d", i))) > 0 {
			told = fmt.Sprintf("t%d", i)
		}
	}
	w.back(l, told)
	testkit.WaitFor(t, soon, "the return counts", func() bool { return read() && results.Items[0].Treated.Returned == 1 })
	r := results.Items[0]
	if r.Treated.Revenue != 4900 || r.Lift == nil || *r.Lift != 1/float64(r.Treated.Enrolled) {
		t.Errorf("one of %d came back on starter: %+v", r.Treated.Enrolled, r)
	}
	if status := w.call("GET", "/v1/campaigns", "dev:t1", nil, nil); status != 403 {
		t.Errorf("a tenant sees the campaigns: %d", status)
	}

	var s struct {
		Suppressed bool
		Reason     string
	}
	w.call("PUT", "/v1/tenants/t2/suppression", "dev:t2", map[string]string{"reason": "complained"}, &s)
	if !s.Suppressed || s.Reason != "unsubscribed" {
		t.Errorf("a tenant's own word is %+v", s)
	}
	w.call("DELETE", "/v1/tenants/t2/suppression", "dev:t2", nil, &s)
	if s.Suppressed {
		t.Error("it cannot be taken back")
	}
}
