package manifest_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tenure/services/export/internal/manifest"
)

func whole() manifest.Manifest {
	return manifest.Manifest{
		ExpectedCounts: map[string]int64{"documents": 3, "usage": 1},
		ActualCounts:   map[string]int64{"documents": 3, "usage": 1},
		Files: []manifest.File{
			{Name: "metadata.json", Rows: 1},
			{Name: "documents/part-00001.ndjson", Rows: 2},
			{Name: "documents/part-00002.ndjson", Rows: 1},
			{Name: "usage.ndjson", Rows: 1},
		},
	}
}

func TestCheck(t *testing.T) {
	if err := whole().Check(); err != nil {
		t.Fatalf("a whole one: %v", err)
	}
	for name, spoil := range map[string]func(*manifest.Manifest){
		"fewer rows than counted":  func(m *manifest.Manifest) { m.ExpectedCounts["documents"]++ },
		"more rows than counted":   func(m *manifest.Manifest) { m.ExpectedCounts["documents"]-- },
		"a kind nobody counted":    func(m *manifest.Manifest) { delete(m.ExpectedCounts, "usage") },
		"a kind nobody wrote":      func(m *manifest.Manifest) { m.ExpectedCounts["vectors"] = 7 },
		"a file with other rows":   func(m *manifest.Manifest) { m.Files[2].Rows++ },
		"a file that was left out": func(m *manifest.Manifest) { m.Files = m.Files[:3] },
	} {
		t.Run(name, func(t *testing.T) {
			m := whole()
			spoil(&m)
			if err := m.Check(); !errors.Is(err, manifest.ErrIncomplete) {
				t.Errorf("Check answers %v", err)
			}
		})
	}
	for name, file := range map[string]string{
		"twice": "usage.ndjson", "twice but for case": "USAGE.ndjson", "unsafe": "../x",
	} {
		t.Run(name, func(t *testing.T) {
			m := whole()
			m.Files = append(m.Files, manifest.File{Name: file})
			if m.Check() == nil {
				t.Error("Check took it")
			}
		})
	}
}

// TestNames holds that every file has a name of its own, on systems that ignore case as well, and tells its kind and form.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, kind := range append(manifest.Kinds(), "invoices", "a-b_c1") {
		for _, form := range []manifest.Form{{}, {Parquet: true}, {Encrypted: true}, {Parquet: true, Encrypted: true}} {
			for _, n := range []int{1, 2, 11, 111, 99_999, 100_000} {
				for _, more := range []int{1, 2, 12} {
					name := manifest.FileName(kind, n, more, form)
					if !manifest.SafeName(name) {
						t.Errorf("%q is not safe", name)
					}
					if manifest.KindOf(name) != kind || manifest.FormOf(name) != form {
						t.Errorf("%q is of kind %q in form %+v", name, manifest.KindOf(name), manifest.FormOf(name))
					}
					if manifest.Parted(kind) && seen[strings.ToLower(name)] {
						t.Errorf("%q is there twice", name)
					}
					seen[strings.ToLower(name)] = true
				}
			}
		}
	}
	for name, want := range map[string]string{
		manifest.FileName("documents", 1, 1, manifest.Form{}):                "documents/part-00001.ndjson",
		manifest.FileName("vectors", 12, 1, manifest.Form{Parquet: true}):    "vectors/part-00012.parquet",
		manifest.FileName("documents", 1, 2, manifest.Form{}):                "documents/part-00001.2.ndjson",
		manifest.FileName("usage", 1, 1, manifest.Form{}):                    "usage.ndjson",
		manifest.FileName("billing", 1, 1, manifest.Form{Encrypted: true}):   "billing.ndjson.gz.age",
		manifest.FileName("documents", 3, 1, manifest.Form{Encrypted: true}): "documents/part-00003.ndjson.gz.age",
	} {
		if name != want {
			t.Errorf("the name is %q, not %q", name, want)
		}
	}
	for _, name := range []string{manifest.Name, manifest.MetadataName} {
		if !manifest.SafeName(name) || manifest.KindOf(name) != "" {
			t.Errorf("%q: safe %v, kind %q", name, manifest.SafeName(name), manifest.KindOf(name))
		}
	}
}

// hostile are names that have broken programs that unpack archives.
var hostile = []string{
	"", ".", "..", "/", "../../x", "a/../../x", "/abs", "//abs", `C:\x`, "C:x", `\\host\share`, `a\..\x`, "a//b", "a/", "./a",
	"nul", "NUL", "con.ndjson", "a/aux.json", "com1", "a\x00b", "a\nb", "\u202egnp.exe", "caf\u00e9", "a b", " a", "a.", "a/.",
	".hidden", "~", "-\x7f", "a:b", "a*", "a?", `a"b`, "a|b", "a<b", strings.Repeat("a", 201), strings.Repeat("a", 300), "\u202ea", "\u200fa", "ｄocuments", "Documents",
}

func TestHostileNames(t *testing.T) {
	for _, name := range hostile {
		if manifest.SafeName(name) {
			t.Errorf("%q passes for safe", name)
		}
	}
}

func TestSafeNamesStayInTheirFolder(t *testing.T) {
	pieces := append([]string{"a", "b-1", "_", "0", "part-00001.ndjson"}, hostile...)
	rapid.Check(t, func(t *rapid.T) {
		checkSafe(t, rapid.OneOf(
			rapid.String(),
			rapid.StringMatching(`[a-z0-9._/-]{1,40}`),
			rapid.Map(rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 4), func(p []string) string { return strings.Join(p, "/") }),
		).Draw(t, "name"))
	})
}

// FuzzNames lets a store call its rows anything.
func FuzzNames(f *testing.F) {
	for _, name := range hostile {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		checkSafe(t, name)
		if !manifest.ValidKind(name) {
			return
		}
		for _, form := range []manifest.Form{{}, {Parquet: true}, {Encrypted: true}} {
			file := manifest.FileName(name, 1, 1, form)
			if !manifest.SafeName(file) || manifest.KindOf(file) != name {
				t.Errorf("kind %q has the file %q", name, file)
			}
			checkSafe(t, file)
		}
	})
}

// checkSafe holds a name that passes for safe against what it does on a disk.
func checkSafe(t interface{ Fatalf(string, ...any) }, name string) {
	if !manifest.SafeName(name) {
		return
	}
	if !filepath.IsLocal(name) || filepath.ToSlash(filepath.Clean(name)) != name {
		t.Fatalf("%q would leave its folder, or be another name there", name)
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < '-' || r > 'z' || r == '\\' || r == ':' }) {
		t.Fatalf("%q has characters that mean something", name)
	}
}

func TestEarliest(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	stores := []manifest.Store{{TakenAt: noon.Add(time.Second)}, {}, {TakenAt: noon}, {TakenAt: noon.Add(time.Hour)}}
	if got := manifest.Earliest(stores); !got.Equal(noon) {
		t.Errorf("earliest is %v", got)
	}
	if !manifest.Earliest(nil).IsZero() {
		t.Error("no stores have an earliest time")
	}
}
