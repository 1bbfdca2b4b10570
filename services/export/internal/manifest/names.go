package manifest

import (
	"fmt"
	"path"
	"strings"
)

// Kinds of rows, in the order in which they stand in an archive. A store may have others: they stand behind these.
const (
	Documents = "documents"
	Vectors   = "vectors"
	Usage     = "usage"
	Billing   = "billing"
	Audit     = "audit"
)

// Kinds lists those that every tenant has: each has a count and at least one file in every archive of everything, be it
// empty, so that "none" can be told from "forgotten".
func Kinds() []string { return []string{Documents, Vectors, Usage, Billing, Audit} }

// Parted reports whether the rows of a kind are cut into numbered parts; the others are one file.
func Parted(kind string) bool { return kind != Usage && kind != Billing && kind != Audit }

// ValidKind reports whether a store may name its rows so: the name becomes a folder of archives, on any system.
func ValidKind(kind string) bool {
	return len(kind) <= maxKind && safePart(kind) && !strings.Contains(kind, ".")
}

const maxKind = 64

// Form is how the rows of a file are written: as lines of JSON in a zip entry that is compressed, unless it says otherwise.
type Form struct {
	Parquet bool
	// Encrypted files are compressed by gzip and encrypted by age: an entry of the zip that stays as it is.
	Encrypted bool
}

// FileName names the n-th file of a kind, from 1: "documents/part-00001.ndjson", or "usage.ndjson" for a kind that has one
// file. Where the n-th file would grow too large it goes on in others, counted by more from 1:
// "documents/part-00001.2.ndjson". The same never names two files, and different ones are never the same name.
func FileName(kind string, n, more int, form Form) string {
	name := kind
	if Parted(kind) {
		name = fmt.Sprintf("%s/part-%05d", kind, n)
		if more > 1 {
			name = fmt.Sprintf("%s.%d", name, more)
		}
	}
	extension := ndjson
	if form.Parquet {
		extension = parquet
	}
	if form.Encrypted {
		extension += encrypted
	}
	return name + extension
}

// KindOf tells which kind's rows are in an entry, or "" for those that hold none.
func KindOf(name string) string {
	name = strings.TrimSuffix(name, encrypted)
	base, isParquet := strings.CutSuffix(name, parquet)
	base, isJSON := strings.CutSuffix(base, ndjson)
	if !isParquet && !isJSON {
		return ""
	}
	kind, _, _ := strings.Cut(base, "/")
	return kind
}

// FormOf tells how the rows of an entry are written.
func FormOf(name string) Form {
	base, isEncrypted := strings.CutSuffix(name, encrypted)
	return Form{Parquet: strings.HasSuffix(base, parquet), Encrypted: isEncrypted}
}

const (
	ndjson    = ".ndjson"
	parquet   = ".parquet"
	encrypted = ".gz.age"
)

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
