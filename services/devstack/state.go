package devstack

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// state is what a directory must keep from one start to the next: the secrets that the parts were made with, and
// the ports that programs may remember.
type state struct {
	NATSPassword  string         `json:"nats_password"`
	S3AccessKey   string         `json:"s3_access_key"`
	S3SecretKey   string         `json:"s3_secret_key"`
	StripeAPIKey  string         `json:"stripe_api_key"`
	WebhookSecret string         `json:"webhook_secret"`
	VaultKey      string         `json:"vault_key"`
	SigningKey    string         `json:"signing_key"`
	Ports         map[string]int `json:"ports"`

	path string
}

// loadState reads the directory's state, and makes up what is not there yet.
func loadState(path string) (*state, error) {
	s := &state{path: path, Ports: map[string]int{}}
	content, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(content, s); err != nil {
			return nil, fmt.Errorf("%s is not what it was written as; restore it, or begin with an empty directory: %w", path, err)
		}
	}
	for _, secret := range []struct {
		value *string
		mint  func() string
	}{
		{&s.NATSPassword, func() string { return hex.EncodeToString(random(16)) }},
		{&s.S3AccessKey, func() string { return "TENURE" + rand.Text()[:14] }},
		{&s.S3SecretKey, func() string { return hex.EncodeToString(random(20)) }},
		{&s.StripeAPIKey, func() string { return "sk_test_" + hex.EncodeToString(random(16)) }},
		{&s.WebhookSecret, func() string { return "whsec_" + hex.EncodeToString(random(16)) }},
		{&s.VaultKey, func() string { return base64.StdEncoding.EncodeToString(random(32)) }},
		{&s.SigningKey, func() string { return base64.StdEncoding.EncodeToString(random(32)) }},
	} {
		if *secret.value == "" {
			*secret.value = secret.mint()
		}
	}
	return s, s.save()
}

// save replaces the file in one step, so that a kill leaves the old secrets or the new ones.
func (s *state) save() error {
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(s.path, append(content, '\n'), 0o600)
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it ends the program rather than return too little
	return b
}

// writeFile puts content at path in one step: a reader, and a program started after a kill, finds the old content or
// the new one, never a part.
func writeFile(path string, content []byte, perm os.FileMode) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name()) // the first error is the one to tell
		}
	}()
	_, err = tmp.Write(content)
	err = errors.Join(err, tmp.Chmod(perm), tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// lock makes dir this process's own until the file is closed. The kernel closes it also after a kill -9, so that no
// stale lock can be left.
func lock(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("%s is in use by another tenure dev: end that one, or choose another directory with --dir", dir)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// listen opens part's address. Port 0 means: the port part had in this directory before, or else a free one. A port
// that was asked for by name must be free; the error then names the flag to change.
func (s *state) listen(ctx context.Context, part, addr, flag string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", flag, addr, err)
	}
	var config net.ListenConfig
	if port == "0" {
		if kept, ok := s.Ports[part]; ok {
			if l, err := config.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(kept))); err == nil {
				return l, nil
			}
		}
	}
	l, err := config.Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is taken by another program: end that one, or choose another address with %s", addr, flag)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	s.Ports[part] = l.Addr().(*net.TCPAddr).Port
	return l, nil
}

// reserve is listen for a part that opens its address itself.
func (s *state) reserve(ctx context.Context, part, addr, flag string) (string, error) {
	l, err := s.listen(ctx, part, addr, flag)
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
