package natsserver_test

import (
	"errors"
	"log/slog"
	"net"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tenure/services/devstack/natsserver"
)

func TestStreamsOutliveARestart(t *testing.T) {
	ctx := t.Context()
	cfg := config(t)
	server := start(t, cfg)
	js := connect(t, server.URL())
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, "s.1", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	server.Stop()

	js = connect(t, start(t, cfg).URL())
	stream, err := js.Stream(ctx, "S")
	if err != nil {
		t.Fatal(err)
	}
	msg, err := stream.GetMsg(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if string(msg.Data) != "kept" {
		t.Errorf("message after the restart: %q", msg.Data)
	}
}

func TestNobodyElseMayConnect(t *testing.T) {
	cfg := config(t)
	start(t, cfg)
	_, err := nats.Connect(net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)))
	if !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("without a password: %v, want %v", err, nats.ErrAuthorization)
	}
}

func config(t *testing.T) natsserver.Config {
	t.Helper()
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return natsserver.Config{
		Dir: t.TempDir(), Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port,
		User: "tenure", Password: "secret", Log: slog.New(slog.DiscardHandler),
	}
}

func start(t *testing.T, cfg natsserver.Config) *natsserver.Server {
	t.Helper()
	server, err := natsserver.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server
}

func connect(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}
