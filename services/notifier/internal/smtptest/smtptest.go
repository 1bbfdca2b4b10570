// Package smtptest is a mail server for tests: it keeps what it gets and fails when told to.
package smtptest

import (
	"io"
	"net"
	"net/mail"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// Mail is what was delivered.
type Mail struct {
	From, To string
	Header   mail.Header
	Body     string
	// At is when the server took it.
	At time.Time
}

// Server listens on an address of its own, that it keeps over Stop and Start.
type Server struct {
	t    testing.TB
	addr string

	mu     sync.Mutex
	smtp   *smtp.Server
	mails  []Mail
	refuse func(command, argument string) int
}

// Start starts a server that ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, addr: "127.0.0.1:0"}
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

// URL is for SMTP_URL.
func (s *Server) URL() string { return "smtp://" + s.addr }

// Start brings the server back after Stop.
func (s *Server) Start() {
	s.t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(s.t.Context(), "tcp", s.addr)
	if err != nil {
		s.t.Fatalf("smtptest: %v", err)
	}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{server: s}, nil }))
	server.Domain = "localhost"
	s.mu.Lock()
	s.addr, s.smtp = listener.Addr().String(), server
	s.mu.Unlock()
	go func() { _ = server.Serve(listener) }() // ends with Stop
}

// Stop breaks all connections and refuses new ones.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.smtp != nil {
		_ = s.smtp.Close()
		s.smtp = nil
	}
}

// Refuse sets who decides what is refused: with which code, 0 for not. It is asked for MAIL and RCPT with the address, and
// for DATA with the recipient's.
func (s *Server) Refuse(refuse func(command, argument string) int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = refuse
}

// Mails are all that were delivered so far, in their order.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mails...)
}

func (s *Server) check(command, argument string) error {
	s.mu.Lock()
	refuse := s.refuse
	s.mu.Unlock()
	if refuse == nil {
		return nil
	}
	if code := refuse(command, argument); code != 0 {
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCodeNotSet, Message: "refused by the test"}
	}
	return nil
}

// session is one mail under way.
type session struct {
	server   *Server
	from, to string
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return s.server.check("MAIL", from)
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	return s.server.check("RCPT", to)
}

func (s *session) Data(r io.Reader) error {
	parsed, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(parsed.Body)
	if err != nil {
		return err
	}
	if err := s.server.check("DATA", s.to); err != nil {
		return err
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.mails = append(s.server.mails, Mail{From: s.from, To: s.to, Header: parsed.Header, Body: string(body), At: time.Now()})
	return nil
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }
