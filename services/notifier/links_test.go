package notifier_test

import (
	"context"
	"encoding/json"
	"io"
	"mime/quotedprintable"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"tenure/services/notifier/internal/link"
	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/query"
	"tenure/shared/testkit"
)

// links are those that the notifier of the test makes.
func (w *world) links() link.Links { return link.New("", w.vault.Secret("links")) }

// post does what a browser does with a page's form.
func (w *world) post(address string, form url.Values) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), "POST", address, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	w.http.ServeHTTP(answer, r)
	return answer
}

func (w *world) look(address string) *httptest.ResponseRecorder {
	w.t.Helper()
	answer := httptest.NewRecorder()
	w.http.ServeHTTP(answer, httptest.NewRequestWithContext(w.t.Context(), "GET", address, nil))
	return answer
}

// commands are those on the bus, once there are n.
func (w *world) commands(n int) []events.Event {
	w.t.Helper()
	js, err := jetstream.New(w.bus.Conn())
	require.NoError(w.t, err)
	stream, err := js.Stream(w.t.Context(), bus.StreamCommands)
	require.NoError(w.t, err)
	testkit.WaitFor(w.t, soon, "commands on the bus", func() bool {
		info, err := stream.Info(w.t.Context())
		return err == nil && info.State.Msgs >= uint64(n)
	})
	info, err := stream.Info(w.t.Context())
	require.NoError(w.t, err)
	require.EqualValues(w.t, n, info.State.Msgs)
	var out []events.Event
	for i := info.State.FirstSeq; i <= info.State.LastSeq; i++ {
		m, err := stream.GetMsg(w.t.Context(), i)
		require.NoError(w.t, err)
		e, err := events.Decode(m.Header, m.Data)
		require.NoError(w.t, err)
		out = append(out, e)
	}
	return out
}

// answers stands for the lifecycle's answers.
func (w *world) answers(now query.Tenant, preview query.Preview) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	w.t.Cleanup(cancel)
	for subject, value := range map[string]any{query.LifecycleTenant: now, query.LifecyclePreview: preview} {
		go func() {
			_ = w.bus.Answer(ctx, subject, func(context.Context, []byte) (any, error) { return value, nil })
		}()
		testkit.WaitFor(w.t, soon, "somebody to answer", func() bool {
			var any json.RawMessage
			return w.bus.Ask(ctx, subject, struct{}{}, &any) == nil
		})
	}
}

// cause makes an event that follows from a command.
func (w *world) cause(command events.Event, tenant string, p events.Payload) {
	w.t.Helper()
	e, err := events.New(p, tenant)
	require.NoError(w.t, err)
	w.version["lifecycle "+tenant]++
	e.Sequence, e.Source, e.Time = w.version["lifecycle "+tenant], "tenure/lifecycle", time.Now()
	e.ID, e.CausationID, e.CorrelationID = tenant+"/"+e.Name()+"/"+command.ID, command.ID, command.ID
	require.NoError(w.t, w.bus.Publish(w.t.Context(), e))
}

var linkInMail = regexp.MustCompile(`http://127\.0\.0\.1:8080(/l/[^\s"<]+)`)

// linkIn finds the link in the text of a mail.
func linkIn(t *testing.T, body string) string {
	t.Helper()
	plain, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(body)))
	require.NoError(t, err)
	found := linkInMail.FindSubmatch(plain)
	require.NotNil(t, found, string(plain))
	return string(found[1])
}

func TestTheLinkInAMailCallsTheDeletionOff(t *testing.T) {
	w := newWorld(t)
	w.register("acme")
	w.run()
	due := time.Now().Add(30 * day)
	w.publish("acme", &events.TenantRegistered{Generation: 1}, &events.DeletionRequested{ScheduledFor: due, RetentionDays: 30})
	testkit.WaitFor(t, soon, "the mail", func() bool { return len(w.mail.Mails()) == 1 })
	mail := w.mail.Mails()[0]
	address := linkIn(t, mail.Body)
	w.answers(query.Tenant{Tenant: "acme", Generation: 1, State: "deleting", Plan: "starter", DeletionDue: &due}, query.Preview{Allowed: true})

	page := w.look(address)
	require.Equal(t, 200, page.Code, page.Body)
	require.Contains(t, page.Body.String(), "Keep acme")
	require.NotContains(t, page.Body.String(), "Ada", "a page knows nobody's name")
	require.NotContains(t, page.Body.String(), "example.com")
	require.Equal(t, http.StatusSeeOther, w.post(address, nil).Code)

	command := w.commands(1)[0]
	require.Equal(t, []string{"tenure.command.cancel_deletion.v1", "acme"}, []string{command.Type, command.Subject})
	id, _, _ := strings.Cut(strings.Trim(mail.Header.Get("Message-Id"), "<>"), "@")
	require.Equal(t, "link:"+id, command.Actor, "the log names the mail whose link was used")

	w.cause(command, "acme", &events.DeletionCancelled{})
	w.cause(command, "acme", &events.ReactivationStarted{Operation: events.OperationPlan{ID: "op-1"}})
	w.publish("acme", &events.TenantReactivated{OperationID: "op-1", Plan: "starter", RestoreData: true})
	testkit.WaitFor(t, soon, "the page to tell of the return", func() bool { return strings.Contains(w.look(address).Body.String(), "acme is back") })
	require.Equal(t, http.StatusSeeOther, w.post(address, nil).Code)
	require.Len(t, w.commands(1), 1, "a link acts once")
}

// Between the POST and the command, and between the command and the note of it, the process may be killed: the command is
// sent all the same, and once.
func TestAWishOutlivesACrash(t *testing.T) {
	w := newWorld(t)
	stop := w.run()
	address := w.links().Back("acme", 1, "", time.Now().Add(time.Hour))
	stop() // what serves HTTP lives on for the moment of the POST, what sends is dead
	form := url.Values{"data": {"restore"}, "plan": {"starter"}, "shown": {"restore/starter"}, "plan_hash": {"h1"}, "do": {"return"}}
	require.Equal(t, http.StatusSeeOther, w.post(address, form).Code)

	stop = w.run()
	first := w.commands(1)[0]
	stop()
	_, err := w.db.Exec(t.Context(), `UPDATE notifier.acts SET state = 'queued'`)
	require.NoError(t, err)
	w.run()
	testkit.WaitFor(t, soon, "the command to be sent again", func() bool {
		var sent bool
		err := w.db.QueryRow(t.Context(), `SELECT state = 'sent' FROM notifier.acts`).Scan(&sent)
		return err == nil && sent
	})
	require.Equal(t, first.ID, w.commands(1)[0].ID)
}

func TestARefusalIsShownAndTheLinkStaysGood(t *testing.T) {
	w := newWorld(t)
	w.run()
	address := w.links().Back("acme", 1, "", time.Now().Add(time.Hour))
	form := url.Values{"data": {"restore"}, "plan": {"starter"}, "shown": {"restore/starter"}, "plan_hash": {"h1"}, "do": {"return"}}
	now := query.Tenant{Tenant: "acme", Generation: 1, State: "suspended", Plan: "starter", Restorable: true, Plans: []query.Plan{{Name: "starter"}}}
	w.answers(now, query.Preview{Allowed: true})
	w.publish("acme", &events.TenantRegistered{Generation: 1})

	w.post(address, form)
	command := w.commands(1)[0]
	w.cause(command, "acme", &events.CommandRefused{Command: "reactivate", Code: "plan_changed", Message: "the facts have moved; possible now: export"})
	testkit.WaitFor(t, soon, "the refusal's words", func() bool {
		return strings.Contains(w.look(address).Body.String(), "nothing was changed: the facts have moved.")
	})

	w.post(address, form)
	second := w.commands(2)[1]
	require.NotEqual(t, command.ID, second.ID)
	w.cause(second, "acme", &events.ReactivationStarted{Operation: events.OperationPlan{ID: "op-2"}})
	w.publish("acme", &events.ReactivationFailed{OperationID: "op-2", Error: `the coupon "BACK50" cannot be used: it has expired`})
	testkit.WaitFor(t, soon, "the failure's words", func() bool {
		return strings.Contains(w.look(address).Body.String(), "it has expired.")
	})
}

// A return after the purge begins a new life. Its link belongs to the one before, and still shows how it went.
func TestTheLinkThatBeganANewLifeShowsHowItWent(t *testing.T) {
	w := newWorld(t)
	w.run()
	address := w.links().Back("acme", 1, "", time.Now().Add(time.Hour))
	other := w.links().Back("acme", 1, "m2", time.Now().Add(time.Hour))
	w.publish("acme", &events.TenantRegistered{Generation: 1}, &events.PurgeStarted{}, &events.TenantPurged{})
	form := url.Values{"data": {"fresh"}, "plan": {"starter"}, "shown": {"fresh/starter"}, "plan_hash": {"h1"}, "confirm": {"yes"}, "do": {"return"}}
	w.post(address, form)
	command := w.commands(1)[0]
	w.cause(command, "acme", &events.TenantReborn{Plan: "starter", Generation: 2})
	w.cause(command, "acme", &events.ProvisioningStarted{Operation: events.OperationPlan{ID: "op-1"}})
	w.publish("acme", &events.TenantActivated{OperationID: "op-1", Plan: "starter"})
	testkit.WaitFor(t, soon, "the page to tell of the return", func() bool { return strings.Contains(w.look(address).Body.String(), "acme is back") })
	require.Equal(t, http.StatusGone, w.post(other, form).Code, "every other link of the former life is dead")
}
