package testkit

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// NATSServer is a JetStream server in the test's process. Its streams are files that survive Stop and Start.
type NATSServer struct {
	t       testing.TB
	opts    server.Options
	running *server.Server
}

// NATS starts a JetStream server that ends with the test.
func NATS(t testing.TB) *NATSServer {
	t.Helper()
	n := &NATSServer{t: t, opts: server.Options{
		Host:      "127.0.0.1",
		Port:      server.RANDOM_PORT,
		JetStream: true,
		StoreDir:  t.TempDir(),
		NoLog:     true,
		NoSigs:    true,
	}}
	n.Start()
	t.Cleanup(n.Stop)
	return n
}

// URL is where clients connect; it stays the same over Stop and Start.
func (n *NATSServer) URL() string { return n.running.ClientURL() }

// Dir is where its streams' files are.
func (n *NATSServer) Dir() string { return n.opts.StoreDir }

// Stop ends the server, as an outage does: clients lose their connections. Call it from the test's goroutine, as
// Start.
func (n *NATSServer) Stop() {
	n.running.Shutdown()
	n.running.WaitForShutdown()
}

// Start brings the stopped server back, at the same address, on the same files.
func (n *NATSServer) Start() {
	n.t.Helper()
	opts := n.opts // the server keeps and changes the options it gets
	running, err := server.NewServer(&opts)
	if err != nil {
		n.t.Fatalf("testkit: make a NATS server: %v", err)
	}
	running.Start()
	if !running.ReadyForConnections(10 * time.Second) {
		running.Shutdown()
		n.t.Fatal("testkit: the NATS server takes no connections")
	}
	n.running = running
	n.opts.Port = opts.Port
}
