package tenant

import (
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"
)

// impure are ways to the clock, to chance and to the outside. One of them in a decision, and a replay of the log or a
// second try of a batch would decide otherwise.
var impure = regexp.MustCompile(`\btime\.(Now|Since|Until|Sleep|After|AfterFunc|Tick|NewTimer|NewTicker)\b|\bgo func\b`)

var pureImports = map[string]bool{
	"encoding/json": true, "fmt": true, "math": true, "slices": true, "strings": true, "time": true,
	"tenure/shared/events": true, "tenure/shared/plans": true, "tenure/shared/retention": true,
}

func TestPackageIsPure(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := f.Name()
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if found := impure.Find(source); found != nil {
			t.Errorf("%s uses %s", name, found)
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range parsed.Imports {
			if path := strings.Trim(i.Path.Value, `"`); !pureImports[path] {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
}
