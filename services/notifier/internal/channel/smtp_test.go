package channel_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tenure/services/notifier/internal/channel"
	"tenure/services/notifier/internal/smtptest"
	"tenure/shared/fault"
)

var letter = channel.Letter{
	ID: "m-1", To: "ada@example.com", Name: "Ada Lovelace", Subject: "Grüße", Text: "as text\n", HTML: "<p>as HTML</p>",
	Date: time.Date(2026, 8, 3, 14, 30, 0, 0, time.UTC),
}

func open(t *testing.T, server *smtptest.Server) channel.Session {
	t.Helper()
	smtp, err := channel.NewSMTP(server.URL(), "Tenure <tenure@tenure.example>")
	if err != nil {
		t.Fatal(err)
	}
	session, err := smtp.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	return session
}

func TestALetterArrives(t *testing.T) {
	server := smtptest.Start(t)
	if err := open(t, server).Send(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	mails := server.Mails()
	if len(mails) != 1 {
		t.Fatalf("%d mails arrived", len(mails))
	}
	got := mails[0]
	for header, want := range map[string]string{
		"Message-Id": "<m-1@tenure.example>", "Auto-Submitted": "auto-generated", "Subject": "=?UTF-8?q?Gr=C3=BC=C3=9Fe?=",
		"To": `"Ada Lovelace" <ada@example.com>`, "From": `"Tenure" <tenure@tenure.example>`, "Date": "Mon, 03 Aug 2026 14:30:00 +0000",
	} {
		if got.Header.Get(header) != want {
			t.Errorf("%s: %s, want %s", header, got.Header.Get(header), want)
		}
	}
	if !strings.HasPrefix(got.Header.Get("Content-Type"), "multipart/alternative") ||
		!strings.Contains(got.Body, "as text") || !strings.Contains(got.Body, "<p>as HTML</p>") {
		t.Errorf("body: %s\n%s", got.Header.Get("Content-Type"), got.Body)
	}
}

func TestRefusals(t *testing.T) {
	const (
		permanent = "permanent"
		later     = "later"
		down      = "down"
	)
	for _, test := range []struct {
		command string
		code    int
		want    string
	}{
		{"RCPT", 550, permanent},
		{"RCPT", 450, later},
		{"DATA", 554, permanent},
		{"DATA", 451, later},
		{"MAIL", 530, down}, // the settings are wrong, the letter is not
		{"MAIL", 421, down},
	} {
		server := smtptest.Start(t)
		server.Refuse(func(command, _ string) int {
			if command == test.command {
				return test.code
			}
			return 0
		})
		session := open(t, server)
		err := session.Send(t.Context(), letter)
		got := later
		switch {
		case err == nil:
			got = "sent"
		case fault.IsPermanent(err):
			got = permanent
		case errors.Is(err, channel.ErrDown):
			got = down
		}
		if got != test.want {
			t.Errorf("%s refused with %d: %s (%v), want %s", test.command, test.code, got, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "ada@") {
			t.Errorf("the error shows the address: %v", err)
		}
		if test.want == down {
			continue
		}
		server.Refuse(nil)
		if err := session.Send(t.Context(), letter); err != nil {
			t.Errorf("the letter after one that was refused at %s: %v", test.command, err)
		}
	}
}

func TestAnAddressThatIsNone(t *testing.T) {
	session := open(t, smtptest.Start(t))
	bad := letter
	bad.To = "ada at example"
	err := session.Send(t.Context(), bad)
	if !fault.IsPermanent(err) || strings.Contains(err.Error(), "ada") {
		t.Errorf("send: %v", err)
	}
}

func TestAServerThatIsAway(t *testing.T) {
	server := smtptest.Start(t)
	session := open(t, server)
	server.Stop()
	if err := session.Send(t.Context(), letter); !errors.Is(err, channel.ErrDown) {
		t.Errorf("send over a broken connection: %v", err)
	}
	smtp, err := channel.NewSMTP(server.URL(), "tenure@tenure.example")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := smtp.Open(t.Context()); !errors.Is(err, channel.ErrDown) {
		t.Errorf("open: %v", err)
	}
}

func TestSettings(t *testing.T) {
	const from = "Tenure <tenure@tenure.example>"
	for _, good := range []string{"smtp://localhost", "smtp://user:secret@mail.example:587", "smtps://mail.example"} {
		if _, err := channel.NewSMTP(good, from); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "localhost:25", "http://localhost", "smtp://:25", "smtp://us er:secret@host"} {
		if _, err := channel.NewSMTP(bad, from); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := channel.NewSMTP("smtp://localhost", "nobody"); err == nil {
		t.Error("a sender without an address is taken")
	}
}
