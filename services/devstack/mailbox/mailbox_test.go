package mailbox_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tenure/services/devstack/mailbox"
)

const multipart = "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n" +
	"Message-ID: <1@tenure>\r\n" +
	"MIME-Version: 1.0\r\n" +
	"Content-Type: multipart/alternative; boundary=b\r\n" +
	"\r\n" +
	"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nsch=C3=B6n\r\n" +
	"--b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+aGk8L2I+\r\n" +
	"--b--\r\n"

func TestDecodesWhatItCaught(t *testing.T) {
	box := start(t, filepath.Join(t.TempDir(), "mail.ndjson"))
	box.send(t, multipart, "ada@example.com", "bob@example.com")

	mails := box.list(t)
	if len(mails) != 1 {
		t.Fatalf("%d mails, want 1", len(mails))
	}
	m := mails[0]
	for _, c := range []struct{ what, got, want string }{
		{"to", m.To, "ada@example.com, bob@example.com"},
		{"from", m.From, "tenure@example.com"},
		{"subject", m.Subject, "Grüße"},
		{"text", m.Text, "schön"},
		{"html", m.HTML, "<b>hi</b>"},
		{"Message-ID", m.Headers["Message-ID"], "<1@tenure>"},
		{"header Subject", m.Headers["Subject"], "Grüße"},
	} {
		if c.got != c.want {
			t.Errorf("%s = %q, want %q", c.what, c.got, c.want)
		}
	}
	if m.Time.IsZero() {
		t.Error("no time")
	}
}

func TestPlainMailNeedsNoType(t *testing.T) {
	box := start(t, filepath.Join(t.TempDir(), "mail.ndjson"))
	box.send(t, "Subject: hi\r\n\r\nline one\r\nline two\r\n", "ada@example.com")
	if m := box.list(t)[0]; m.Text != "line one\nline two\n" || m.HTML != "" {
		t.Errorf("text %q, html %q", m.Text, m.HTML)
	}
}

func TestMailsOutliveAKill(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mail.ndjson")
	box := start(t, file)
	if got := box.list(t); len(got) != 0 {
		t.Fatalf("a new mailbox holds %d mails", len(got))
	}
	box.send(t, "Subject: first\r\n\r\n.\r\n", "ada@example.com")
	box.Stop()

	// What a kill in the middle of a write leaves behind.
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"to":"half`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	box = start(t, file)
	box.send(t, "Subject: second\r\n\r\nx\r\n", "ada@example.com")
	var subjects []string
	for _, m := range box.list(t) {
		subjects = append(subjects, m.Subject)
	}
	if got := strings.Join(subjects, " "); got != "first second" {
		t.Errorf("mails after the restart: %s", got)
	}
}

type box struct {
	*mailbox.Server
	smtp, http string
}

func start(t *testing.T, file string) box {
	t.Helper()
	s, h := listen(t), listen(t)
	server, err := mailbox.Start(mailbox.Config{File: file, SMTP: s, HTTP: h, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return box{Server: server, smtp: s.Addr().String(), http: h.Addr().String()}
}

func (b box) send(t *testing.T, body string, to ...string) {
	t.Helper()
	if err := smtp.SendMail(b.smtp, nil, "tenure@example.com", to, []byte(body)); err != nil {
		t.Fatal(err)
	}
}

func (b box) list(t *testing.T) []mailbox.Mail {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+b.http, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var mails []mailbox.Mail
	if err := json.Unmarshal(body, &mails); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return mails
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
