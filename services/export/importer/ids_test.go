package importer_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tenure/services/export/importer"
)

func TestIDsKeepTheirForm(t *testing.T) {
	const old = "6b2f0c1e-0f4d-4c57-9d3b-6f3c5b7d1a20"
	ids := importer.NewIDs("fresh")
	mapped := ids.Map(old)
	if id, err := uuid.Parse(mapped); err != nil || id.Version() != 5 || mapped == old {
		t.Errorf("%s becomes %s", old, mapped)
	}
	for in, want := range map[string]string{
		strings.ToUpper(old):            mapped,
		"doc_" + old:                    "doc_" + mapped,
		old + "/" + old:                 mapped + "/" + mapped,
		"invoices/2026":                 "invoices/2026",
		"EUR":                           "EUR",
		"":                              "",
		"007":                           "007",
		"1.5":                           "1.5",
		"6b2f0c1e0f4d4c579d3b6f3c5b7d1": "6b2f0c1e0f4d4c579d3b6f3c5b7d1",
	} {
		if got := ids.Map(in); got != want {
			t.Errorf("%q becomes %q, not %q", in, got, want)
		}
	}
	for _, in := range []string{"0", "1", "4294967295", "4294967296", "-1", "9223372036854775807", "9999999999999999999", "1752300000000000001"} {
		got := ids.Map(in)
		if n, err := strconv.ParseInt(got, 10, 64); err != nil || n < 1<<32 || got == in {
			t.Errorf("%s becomes %s", in, got)
		}
	}
	if n, _ := strconv.ParseInt(ids.Map("4294967295"), 10, 64); n > 1<<53 {
		t.Errorf("a serial number becomes %d, which not every reader of JSON knows exactly", n)
	}
}

func TestIDsAreStableAndApart(t *testing.T) {
	seen := map[string]string{}
	for _, tenant := range []string{"fresh", "other"} {
		for i := range 10_000 {
			old := strconv.Itoa(i)
			mapped := importer.NewIDs(tenant).Map(old)
			if mapped != importer.NewIDs(tenant).Map(old) {
				t.Fatalf("%s of %s is not always the same", old, tenant)
			}
			origin := fmt.Sprintf("%s of %s", old, tenant)
			if seen[mapped] != "" {
				t.Fatalf("%s and %s both become %s", seen[mapped], origin, mapped)
			}
			seen[mapped] = origin
		}
	}
}
