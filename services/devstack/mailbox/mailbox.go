// Package mailbox is an SMTP server that delivers nothing: it keeps every mail it is given, whoever it is for, and
// lists them over HTTP.
package mailbox

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

const (
	maxMessageBytes = 32 << 20
	smtpTimeout     = time.Minute
)

// Config says where mails are taken, where they are listed and where they are kept.
type Config struct {
	// File holds the mails, one JSON object a line. It is created when missing and only ever grows.
	File string
	// SMTP and HTTP are listening; the mailbox closes them.
	SMTP, HTTP net.Listener
	Log        *slog.Logger
}

// Server is a running mailbox.
type Server struct {
	smtp  *smtp.Server
	http  *http.Server
	store *store

	wg   sync.WaitGroup
	once sync.Once
}

// Start opens the file and serves both listeners. A serving listener that fails is logged: only Stop ends one.
func Start(cfg Config) (*Server, error) {
	st, err := openStore(cfg.File)
	if err != nil {
		return nil, fmt.Errorf("open the caught mails: %w", err)
	}
	s := &Server{store: st, http: &http.Server{Handler: st, ReadHeaderTimeout: 10 * time.Second}}
	s.smtp = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &session{store: st, log: cfg.Log}, nil
	}))
	s.smtp.Domain = "localhost"
	s.smtp.MaxMessageBytes = maxMessageBytes
	s.smtp.ReadTimeout, s.smtp.WriteTimeout = smtpTimeout, smtpTimeout
	s.smtp.EnableSMTPUTF8 = true
	s.smtp.ErrorLog = slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug)

	s.wg.Go(func() {
		if err := s.smtp.Serve(cfg.SMTP); err != nil && !errors.Is(err, smtp.ErrServerClosed) {
			cfg.Log.Error("the mailbox takes no more mails", "error", err)
		}
	})
	s.wg.Go(func() {
		if err := s.http.Serve(cfg.HTTP); !errors.Is(err, http.ErrServerClosed) {
			cfg.Log.Error("the mailbox lists no more mails", "error", err)
		}
	})
	return s, nil
}

// Stop ends both servers and closes the file. It may be called twice.
func (s *Server) Stop() {
	s.once.Do(func() {
		_ = s.smtp.Close() // a listener that is already closed is what is wanted
		_ = s.http.Close()
		s.wg.Wait()
		s.store.close()
	})
}

// session is one connection's mail under way; go-smtp calls it from one goroutine.
type session struct {
	store *store
	log   *slog.Logger
	from  string
	to    []string
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

// Data answers only after the mail is on disk: what SMTP accepted must be in the list, also after a kill -9.
func (s *session) Data(r io.Reader) error {
	mail, err := decode(r)
	if err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: err.Error()}
	}
	mail.From, mail.To = s.from, strings.Join(s.to, ", ")
	mail.Time = time.Now().UTC()
	if err := s.store.append(mail); err != nil {
		s.log.Error("a mail could not be kept", "error", err)
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "cannot keep the mail, try again"}
	}
	return nil
}

func (s *session) Reset() { s.from, s.to = "", nil }

func (s *session) Logout() error { return nil }
