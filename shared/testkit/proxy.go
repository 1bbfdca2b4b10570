package testkit

import (
	"context"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy stands between a program and a server, and breaks what passes. It forwards faithfully until told
// otherwise. All methods may be called from any goroutine.
type Proxy struct {
	t      testing.TB
	target string
	addr   string

	delay   atomic.Int64 // nanoseconds, each way
	swallow atomic.Bool  // answers vanish

	mu       sync.Mutex
	listener net.Listener // nil while down
	open     map[net.Conn]bool
	running  sync.WaitGroup
}

// NewProxy forwards to target ("host:port") until the test ends.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p := &Proxy{t: t, target: target, addr: "127.0.0.1:0", open: map[net.Conn]bool{}}
	p.Up()
	t.Cleanup(func() {
		p.Down()
		p.running.Wait()
	})
	return p
}

// ProxyURL makes a proxy for the server of a URL, and answers the URL that leads through it.
func ProxyURL(t testing.TB, raw string) (*Proxy, string) {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil || u.Port() == "" {
		t.Fatalf("testkit: %q is no URL with a port", raw)
	}
	p := NewProxy(t, u.Host)
	u.Host = p.Addr()
	return p, u.String()
}

// Addr is where the proxy listens, "host:port".
func (p *Proxy) Addr() string { return p.addr }

// Cut breaks the open connections. New ones are welcome.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut()
}

// Down breaks the open connections and refuses new ones, until Up: the server's machine is off.
func (p *Proxy) Down() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	p.cut()
}

// Up ends Down, at the same address.
func (p *Proxy) Up() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		return
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", p.addr)
	if err != nil {
		p.t.Fatalf("testkit: proxy: %v", err)
	}
	p.listener, p.addr = l, l.Addr().String()
	p.running.Go(func() { p.accept(l) })
}

// Delay holds back what passes by d, each way; 0 ends it.
func (p *Proxy) Delay(d time.Duration) { p.delay.Store(int64(d)) }

// SwallowAnswers lets requests through and loses the answers, so that the server has done what the program never
// hears of. Cut, when the effect is there, makes it a lost connection. false ends it for new connections; those
// that lost bytes are out of step and should be cut.
func (p *Proxy) SwallowAnswers(on bool) { p.swallow.Store(on) }

func (p *Proxy) cut() {
	for c := range p.open {
		_ = c.Close()
	}
	clear(p.open)
}

func (p *Proxy) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return // down
		}
		server, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		if !p.keep(l, client, server) {
			return
		}
		p.running.Go(func() { p.forward(server, client, nil) })
		p.running.Go(func() { p.forward(client, server, &p.swallow) })
	}
}

// keep notes both ends so that they can be cut, unless the proxy went down in between.
func (p *Proxy) keep(l net.Listener, ends ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range ends {
		if p.listener != l {
			_ = c.Close()
			continue
		}
		p.open[c] = true
	}
	return p.listener == l
}

// forward copies one direction until either end closes; then it closes both.
func (p *Proxy) forward(to, from net.Conn, lose *atomic.Bool) {
	defer p.drop(to, from)
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if d := time.Duration(p.delay.Load()); d > 0 {
			<-time.After(d)
		}
		if n > 0 && (lose == nil || !lose.Load()) {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) drop(ends ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range ends {
		_ = c.Close()
		delete(p.open, c)
	}
}
