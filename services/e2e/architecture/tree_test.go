package architecture_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const maxLines = 500

// tracked calls check with the path and the content of every text file that git knows.
func tracked(t *testing.T, check func(path, content string)) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "-z")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	for path := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(root, path))
		if os.IsNotExist(err) {
			continue // deleted, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(content, 0) < 0 {
			check(path, string(content))
		}
	}
}

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

func TestGoFilesAreShort(t *testing.T) {
	tracked(t, func(path, content string) {
		if lines := strings.Count(content, "\n"); strings.HasSuffix(path, ".go") && lines >= maxLines && !generated.MatchString(content) {
			t.Errorf("%s has %d lines: split it by what it is about", path, lines)
		}
	})
}

// TestNobodySleeps holds that code waits for what it waits for: a sleep is too long on a fast machine and too short on a
// slow one.
func TestNobodySleeps(t *testing.T) {
	tracked(t, func(path, content string) {
		if strings.HasSuffix(path, ".go") && strings.Contains(content, "time.Sleep"+"(") {
			t.Errorf("%s sleeps: wait for a signal, or a timer beside the context", path)
		}
	})
}

func TestTopFoldersSayWhatTheyAre(t *testing.T) {
	top := map[string]bool{}
	tracked(t, func(path, _ string) {
		if folder, _, below := strings.Cut(path, "/"); below && !strings.HasPrefix(folder, ".") {
			top[folder] = true
		}
	})
	for folder := range top {
		if _, err := os.Stat(filepath.Join(root, folder, "README.md")); err != nil {
			t.Errorf("%s/README.md is missing", folder)
		}
	}
}

// elsewhere are words that tie a file to one machine or one network: package registries' hosts (everybody's tools are
// set to their own mirror) and folders of a user. The words are split so that this file is not found itself.
var elsewhere = regexp.MustCompile(`proxy\.` + `golang|sum\.` + `golang|registry\.` + `npm|registry-1\.` + `docker|docker\.` + `io/|ghcr\.` +
	`io|gcr\.` + `io|quay\.` + `io|pypi\.` + `org|(^|[\s"'=(:])/(` + `home|root|work|Users)/`)

func TestFilesFitEveryMachine(t *testing.T) {
	tracked(t, func(path, content string) {
		if strings.HasSuffix(path, "go.sum") || strings.HasSuffix(path, "go.work.sum") {
			return
		}
		for line := range strings.SplitSeq(content, "\n") {
			if found := elsewhere.FindString(line); found != "" {
				t.Errorf("%s names %q: %.100s", path, strings.TrimSpace(found), line)
			}
		}
	})
}

// loose are versions that mean something else tomorrow, looseBase are images without one. The latter are looked for in
// Dockerfiles alone: elsewhere a line that begins with FROM is SQL.
var (
	loose     = regexp.MustCompile(`[@:]` + `latest\b|@(main|master|upgrade)\b`)
	looseBase = regexp.MustCompile(`^FROM [^:@]+( AS .*)?$`)
)

func TestVersionsArePinned(t *testing.T) {
	tracked(t, func(path, content string) {
		dockerfile := filepath.Base(path) == "Dockerfile"
		for line := range strings.SplitSeq(content, "\n") {
			found := loose.FindString(line)
			if dockerfile && found == "" && line != "FROM scratch" {
				found = looseBase.FindString(line)
			}
			if found != "" {
				t.Errorf("%s has a version that moves, %q: name one exactly", path, found)
			}
		}
	})
}
