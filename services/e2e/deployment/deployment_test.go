package deployment_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"tenure/shared/auth"
	"tenure/shared/client"
	"tenure/shared/events"
	"tenure/shared/gate"
	"tenure/shared/participant"
	"tenure/shared/testkit"
)

// TestDeployment runs what docker-compose.yml describes, and drives tenants through their lives there.
func TestDeployment(t *testing.T) {
	w := newWorld(t)
	c := client.New(w.public.URL, w.token(t, "ann"))
	saas := w.joinSaaS(t)

	t.Run("every route is public, at the service that has it", w.testRoutes)
	t.Run("a tenant lives and is forgotten", func(t *testing.T) { w.testLife(t, c, saas) })
	t.Run("an upstream service sends commands and hears the answers", w.testUpstream)
	t.Run("consumers on the bus are known", w.testConsumers)
	t.Run("rights on the bus end where they should", w.testBusRights)
	t.Run("rights in the database end where they should", w.testDatabaseRights)
	t.Run("the dashboard shows figures that there are", w.testDashboard)
	t.Run("the bus comes back from the logs", func(t *testing.T) { w.testRestore(t, c) })
}

// token is the one of an operator, of the key that is in .env.
func (w *world) token(t *testing.T, operator string) string {
	t.Helper()
	key, err := auth.ParseKey(w.variables["TENURE_AUTH_KEY"])
	require.NoError(t, err)
	token, err := key.Mint(auth.Principal{Kind: auth.Operator, Subject: operator}, time.Hour)
	require.NoError(t, err)
	return token
}

// connect opens a connection to the bus as one of its users.
func (w *world) connect(t *testing.T, user string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	password := w.variables[strings.ToUpper(user)+"_NATS_PASSWORD"]
	nc, err := nats.Connect(w.nats.ClientURL(), append(opts, nats.UserInfo(user, password))...)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

// saas is a customer's program that has the rights of the user saas.
type saas struct {
	gate *gate.Gate
	mu   sync.Mutex
	done map[string]bool // actions carried out
}

// joinSaaS takes part with the SDKs.
func (w *world) joinSaaS(t *testing.T) *saas {
	t.Helper()
	s := &saas{gate: gate.New(gate.Config{}), done: map[string]bool{}}
	act := func(_ context.Context, step participant.Step) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.done[step.Action] = true
		return nil, nil
	}
	nc, registered := w.connect(t, "saas"), make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		err := participant.Run(ctx, participant.Config{
			Name: "saas", Conn: nc, Actions: map[string]participant.Handler{"provision": act, "erase": act, "verify": act},
			ControlURL: w.public.URL, Token: w.token(t, "saas"), Registered: func() { close(registered) },
		})
		if err != nil {
			t.Errorf("participant: %v", err)
		}
	})
	running.Go(func() {
		if err := s.gate.Run(ctx, nc); err != nil {
			t.Errorf("gate: %v", err)
		}
	})
	t.Cleanup(func() { stop(); running.Wait() })
	select {
	case <-registered:
	case <-time.After(patience):
		t.Fatal("the participant is not registered")
	}
	testkit.WaitFor(t, patience, "the gate is ready", s.gate.Ready)
	return s
}

func (s *saas) did(action string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done[action]
}

var parameter = regexp.MustCompile(`\{[^}]+\}`)

func (w *world) testRoutes(t *testing.T) {
	for _, service := range tenure {
		status, body := get(t, "http://"+w.addresses[service]+"/openapi.json")
		require.Equal(t, http.StatusOK, status)
		var described struct {
			Paths map[string]map[string]json.RawMessage
		}
		require.NoError(t, json.Unmarshal([]byte(body), &described))
		for path, methods := range described.Paths {
			for method := range methods {
				concrete := parameter.ReplaceAllString(path, "x")
				require.Equal(t, service, serviceFor(w.routes, strings.ToUpper(method), concrete), "%s %s", method, path)
			}
		}
	}
}

func (w *world) testLife(t *testing.T, c *client.Client, s *saas) {
	ctx := t.Context()
	_, err := c.Register(ctx, client.Register{ID: "acme", Name: "Acme", Email: "anna@example.com", Plan: "free"})
	require.NoError(t, err)
	w.waitState(t, c, "acme", "active")
	require.True(t, s.did("provision"))
	testkit.WaitFor(t, patience, "the gate lets it in", func() bool { return s.gate.Check("acme", gate.Query).Allowed })
	require.Contains(t, testkit.Receive(t, patience, w.letters), "anna@example.com", "the notifier opened the vault")

	wanted, err := c.RequestExport(ctx, "acme", client.ExportRequest{})
	require.NoError(t, err)
	testkit.WaitFor(t, patience, "the export is done", func() bool {
		found, err := c.Export(ctx, wanted.ID)
		return err == nil && found.Status == "completed"
	})

	asked, err := c.Delete(ctx, "acme", client.Delete{Reason: "test"})
	require.NoError(t, err)
	require.NotNil(t, asked.Approval, "the retention policy wants a second operator")
	_, err = client.New(w.public.URL, w.token(t, "bob")).Approve(ctx, "acme", asked.Approval.ID, "")
	require.NoError(t, err)
	testkit.WaitFor(t, patience, "the notifier asks it to come back", func() bool {
		return strings.Contains(testkit.Receive(t, patience, w.letters), "Subject: Come back")
	})
	w.waitState(t, c, "acme", "deleted")
	require.True(t, s.did("erase") && s.did("verify"))
	_, err = c.Certificate(ctx, "acme")
	require.NoError(t, err)
}

func (w *world) waitState(t *testing.T, c *client.Client, tenant, state string) {
	t.Helper()
	last := ""
	testkit.WaitFor(t, patience, tenant+" is "+state, func() bool {
		found, err := c.Tenant(t.Context(), tenant)
		if err == nil && found.State != last {
			last = found.State
			t.Logf("%s is %s", tenant, last)
		}
		return last == state
	})
}

func (w *world) testUpstream(t *testing.T) {
	nc := w.connect(t, "upstream")
	live, err := nc.SubscribeSync("tenure.events.lifecycle.beta.>")
	require.NoError(t, err)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	body, err := events.Encode(events.Event{
		ID: "1", Source: "test", Type: "tenure.command.register.v1", Subject: "beta", Time: time.Now(),
		Data: json.RawMessage(`{"name":"Beta","email":"bob@example.com","plan":"free"}`),
	})
	require.NoError(t, err)
	_, err = js.PublishMsg(t.Context(), &nats.Msg{
		Subject: "tenure.commands.beta", Data: body, Header: nats.Header{"Content-Type": {"application/cloudevents+json"}},
	})
	require.NoError(t, err)
	first, err := live.NextMsg(patience)
	require.NoError(t, err)
	require.Equal(t, "tenure.events.lifecycle.beta.tenant.registered", first.Subject)
	testkit.WaitFor(t, patience, "the name has left the bus", func() bool { return w.streamed(t, "TENURE_COMMANDS") == "0" })

	consumer, err := js.CreateOrUpdateConsumer(t.Context(), "TENURE_EVENTS", jetstream.ConsumerConfig{
		Durable: "upstream", FilterSubject: "tenure.events.lifecycle.>", AckPolicy: jetstream.AckExplicitPolicy,
	})
	require.NoError(t, err)
	kept, err := consumer.Next(jetstream.FetchMaxWait(patience))
	require.NoError(t, err)
	require.NoError(t, kept.DoubleAck(t.Context()))
}

// testConsumers holds that the bus has the consumers that nats.conf knows, and none besides: a new one needs rights, and
// protection from those who may make up consumers.
func (w *world) testConsumers(t *testing.T) {
	found, err := w.nats.Jsz(&server.JSzOptions{Accounts: true, Streams: true, Consumer: true, Config: true})
	require.NoError(t, err)
	conf := mounted(t, w.project, "nats")["/etc/nats/nats.conf"]
	var durables []string
	for _, stream := range found.AccountDetails[0].Streams {
		for _, consumer := range stream.Consumer {
			if consumer.Config.Durable == "" || consumer.Name == "participant_saas" {
				continue // the SaaS's own
			}
			durables = append(durables, consumer.Name)
			next := "$JS.API.CONSUMER.MSG.NEXT." + stream.Name + "." + consumer.Name
			require.Contains(t, conf, `"$JS.ACK.`+stream.Name+"."+consumer.Name+`.>"`)
			w.requireDenied(t, "saas", next)
		}
	}
	require.ElementsMatch(t, durables, []string{
		"lifecycle-commands", "lifecycle-steps", "lifecycle-facts", "billing", "billing-stripe", "billing-usage", "export", "deletion",
		"notifier", "notifier-facts", "upstream",
	})
}

// testDashboard holds that deploy/grafana asks for nothing that nobody measures.
func (w *world) testDashboard(t *testing.T) {
	dashboard, err := os.ReadFile(filepath.Join(root, "deploy/grafana/services.json"))
	require.NoError(t, err)
	require.True(t, json.Valid(dashboard))
	_, figures := get(t, "http://"+w.addresses["lifecycle"]+"/metrics")
	asked := regexp.MustCompile(`\b(go|process|db|tenure)_[a-z_]+`).FindAllString(string(dashboard), -1)
	require.NotEmpty(t, asked)
	for _, name := range asked {
		require.Regexp(t, `(?m)^`+name+`\b`, figures)
	}
}

// testRestore does what deploy/runbooks/restore.md says about the bus: a new one is filled from the logs, and what was done
// is not done again.
func (w *world) testRestore(t *testing.T, c *client.Client) {
	before, err := c.Tenant(t.Context(), "beta")
	require.NoError(t, err)
	w.stop()
	w.nats.Shutdown()
	w.nats.WaitForShutdown()
	w.startNATS(t)
	runbook, err := os.ReadFile(filepath.Join(root, "deploy/runbooks/restore.md"))
	require.NoError(t, err)
	sql := regexp.MustCompile("(?s)```sql\n(.*?)```").FindSubmatch(runbook)
	require.NotNil(t, sql)
	w.exec(t, "tenure", string(sql[1]))
	w.start(t)
	const logged = `SELECT (SELECT count(*) FROM lifecycle.log) + (SELECT count(*) FROM billing.log)
		+ (SELECT count(*) FROM export.log) + (SELECT count(*) FROM deletion.log) + (SELECT count(*) FROM notifier.log)`
	testkit.WaitFor(t, patience, "all logs are on the new bus", func() bool { return w.streamed(t, "TENURE_EVENTS") == w.exec(t, "tenure", logged) })

	w.joinSaaS(t)
	_, err = c.Register(t.Context(), client.Register{ID: "gamma", Name: "Gamma", Email: "carl@example.com", Plan: "free"})
	require.NoError(t, err)
	w.waitState(t, c, "gamma", "active")
	after, err := c.Tenant(t.Context(), "beta")
	require.NoError(t, err)
	require.Equal(t, before.Version, after.Version, "what came again had an effect")
	require.Equal(t, "0", w.exec(t, "tenure", "SELECT count(*) FROM bus.dead_letters"))
}

// streamed is how many messages a stream holds.
func (w *world) streamed(t *testing.T, name string) string {
	t.Helper()
	found, err := w.nats.Jsz(&server.JSzOptions{Accounts: true, Streams: true})
	require.NoError(t, err)
	for _, account := range found.AccountDetails {
		for _, stream := range account.Streams {
			if stream.Name == name {
				return strconv.FormatUint(stream.State.Msgs, 10)
			}
		}
	}
	return "no stream"
}
