package devstack

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretsAreKeptAndPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stack.json")
	first, err := loadState(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := loadState(path)
	if err != nil {
		t.Fatal(err)
	}
	if first.VaultKey == "" || first.VaultKey != again.VaultKey || first.S3SecretKey != again.S3SecretKey {
		t.Error("a second start made up other secrets: what was encrypted with the first is lost")
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if perm := info.Mode().Perm(); perm != 0o600 {
		t.Errorf("the secrets have mode %o", perm)
	}
}

func TestASpoiltStateIsNotOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stack.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadState(path); err == nil {
		t.Fatal("a spoilt state was taken for a new one")
	}
	if content, _ := os.ReadFile(path); string(content) != "{" {
		t.Errorf("the spoilt file now holds %q", content)
	}
}

func TestOneStackPerDirectory(t *testing.T) {
	dir := t.TempDir()
	held, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(dir); err == nil || !strings.Contains(err.Error(), "--dir") {
		t.Errorf("a second lock: %v", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	freed, err := lock(dir)
	if err != nil {
		t.Fatalf("after the first was closed: %v", err)
	}
	_ = freed.Close()
}

func TestPortsStayTheSame(t *testing.T) {
	s := &state{Ports: map[string]int{}}
	first, err := s.reserve(t.Context(), "mail", "127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.reserve(t.Context(), "mail", "127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	if first != again {
		t.Errorf("the port moved from %s to %s", first, again)
	}

	defer occupy(t, first).Close()
	moved, err := s.reserve(t.Context(), "mail", "127.0.0.1:0", "")
	if err != nil {
		t.Fatalf("a port that was kept, and taken by somebody else meanwhile: %v", err)
	}
	if moved == first {
		t.Errorf("%s is taken, and was given out", first)
	}
}

func TestATakenPortNamesTheFlag(t *testing.T) {
	other := occupy(t, "127.0.0.1:0")
	defer other.Close()
	s := &state{Ports: map[string]int{}}
	_, err := s.reserve(t.Context(), "nats", other.Addr().String(), "--nats")
	if err == nil || !strings.Contains(err.Error(), "--nats") || !strings.Contains(err.Error(), other.Addr().String()) {
		t.Errorf("got %v", err)
	}
}

func TestWriteFileLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	if err := writeFile(filepath.Join(dir, "f"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(filepath.Join(dir, "taken"), nil, 0o600); err == nil {
		t.Error("a directory was replaced by a file")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("entries: %v", entries)
	}
}

func TestNoAddressesBeforeAllIsReady(t *testing.T) {
	if _, err := ReadAddresses(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want %v", err, fs.ErrNotExist)
	}
}

func occupy(t *testing.T, addr string) net.Listener {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
