package devstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// AddressesFile is the file in the directory that tells where everything is. It is there only while all is ready.
const AddressesFile = "dev.json"

// pidInterval is how soon the file shows a PostgreSQL server that was started again.
const pidInterval = time.Second

// Addresses is the content of AddressesFile.
type Addresses struct {
	// HTTP, Stripe and Mail are base URLs; NATS and Postgres carry their passwords and all rights.
	HTTP     string    `json:"http"`
	NATS     string    `json:"nats"`
	Postgres string    `json:"postgres"`
	S3       S3Address `json:"s3"`
	Stripe   string    `json:"stripe"`
	// WebhookSecret is the one that Stripe's webhooks are signed with.
	WebhookSecret string `json:"webhook_secret"`
	Mail          string `json:"mail"`
	OperatorToken string `json:"operator_token"`
	// PIDs are those of the child processes. A child that is killed is started again.
	PIDs map[string]int `json:"pids"`
}

// S3Address is where the object store is and who may use it.
type S3Address struct {
	Endpoint  string `json:"endpoint"`
	Bucket    string `json:"bucket"`
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
}

// ReadAddresses reads what the Stack of dir announced. fs.ErrNotExist: none is ready there.
func ReadAddresses(dir string) (Addresses, error) {
	var a Addresses
	content, err := os.ReadFile(filepath.Join(dir, AddressesFile))
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(content, &a); err != nil {
		return a, fmt.Errorf("read %s: %w", filepath.Join(dir, AddressesFile), err)
	}
	return a, nil
}

// Addresses tells where everything is. PIDs change when a child is started again.
func (s *Stack) Addresses() Addresses {
	signing, _, _ := strings.Cut(s.cfg.WebhookSecrets, ",")
	return Addresses{
		HTTP:     s.HTTPURL(),
		NATS:     s.nats.URL(),
		Postgres: s.postgres.URL(),
		S3: S3Address{
			Endpoint:  s.s3.Endpoint(),
			Bucket:    Bucket,
			AccessKey: s.state.S3AccessKey,
			SecretKey: s.state.S3SecretKey,
		},
		Stripe:        "http://" + s.stripe.Addr(),
		WebhookSecret: strings.TrimSpace(signing),
		Mail:          "http://" + s.mailAddr,
		OperatorToken: OperatorToken,
		PIDs:          map[string]int{"postgres": s.postgres.PID()},
	}
}

// Announce writes AddressesFile, for others to see that all is ready, and keeps its process ids right until Stop, which
// removes it; the end of ctx does not.
func (s *Stack) Announce(ctx context.Context) error {
	pid := s.postgres.PID()
	if err := s.writeAddresses(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pidInterval):
			}
			if now := s.postgres.PID(); now != pid && s.writeAddresses() == nil {
				pid = now
			}
		}
	}()
	s.onStop(func() {
		cancel()
		<-done
		if err := s.withdraw(); err != nil {
			s.cfg.Log.Warn("withdraw the addresses", "error", err)
		}
	})
	return nil
}

func (s *Stack) writeAddresses() error {
	content, err := json.MarshalIndent(s.Addresses(), "", "  ")
	if err == nil {
		err = writeFile(s.path(AddressesFile), append(content, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("announce the addresses: %w", err)
	}
	return nil
}

// withdraw removes the file, also one that a kill left behind: nobody may take it for that of this start.
func (s *Stack) withdraw() error {
	if err := os.Remove(s.path(AddressesFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
