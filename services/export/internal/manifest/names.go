package manifest

import (
	"fmt"
	"path"
	"strings"
)

// Kinds of rows, in the order in which they stand in an archive.
const (
	Documents = "documents"
	Vectors   = "vectors"
	Usage     = "usage"
	Billing   = "billing"
	Audit     = "audit"
)

// Kinds lists them all: each has a count and at least one file in every archive of everything, be it empty, so that "none"
// can be told from "forgotten".
func Kinds() []string { return []string{Documents, Vectors, Usage, Billing, Audit} }

// Parted reports whether the rows of a kind are cut into numbered parts; the others are one file.
func Parted(kind string) bool { return kind == Documents || kind == Vectors }

// PartName names the n-th part of a kind, from 1: "documents/part-00001.ndjson", or "usage.ndjson" for a kind that has
// one file.
func PartName(kind string, n int) string {
	if !Parted(kind) {
		return kind + extension
	}
	return fmt.Sprintf("%s/part-%05d%s", kind, n, extension)
}

// KindOf tells which kind's rows are in an entry, or "" for those that hold none.
func KindOf(name string) string {
	base, ok := strings.CutSuffix(name, extension)
	if !ok {
		return ""
	}
	kind, _, _ := strings.Cut(base, "/")
	return kind
}

const extension = ".ndjson"

// maxName keeps a name short enough for every file system, with room for the folder it is unpacked into.
const maxName = 200

// SafeName reports whether an entry may carry this name: a relative path of lower-case ASCII letters, digits, "-", "_"
// and "." that stays below the folder it is unpacked in, on any system. Everything else (separators of other systems,
// device names, letters that look like others or turn the line) is refused, not mended: archives name their
// entries themselves, and what tenants call their things stays inside the rows.
func SafeName(name string) bool {
	if name == "" || len(name) > maxName || path.Clean(name) != name || path.IsAbs(name) {
		return false
	}
	for _, part := range strings.Split(name, "/") {
		if !safePart(part) {
			return false
		}
	}
	return true
}

func safePart(part string) bool {
	if part == "" || part[0] == '.' || part[len(part)-1] == '.' {
		return false
	}
	for _, c := range []byte(part) {
		letter, digit := c >= 'a' && c <= 'z', c >= '0' && c <= '9'
		if !letter && !digit && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	stem, _, _ := strings.Cut(part, ".")
	return !device[stem]
}

// device are names that Windows opens as devices, whatever their extension.
var device = func() map[string]bool {
	names := map[string]bool{"con": true, "prn": true, "aux": true, "nul": true}
	for i := range 10 {
		names[fmt.Sprintf("com%d", i)] = true
		names[fmt.Sprintf("lpt%d", i)] = true
	}
	return names
}()
