package postgres

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"tenure/shared/testkit"
)

// TestHorizonAcrossEpochs asks PostgreSQL about rows written around the points at which xmin counts from 0 again.
func TestHorizonAcrossEpochs(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), testkit.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	const wrap = uint64(epoch)
	for _, marks := range []struct{ bound, now uint64 }{
		{1000, 1000}, {1000, 2000}, {wrap - 5, wrap + 5}, {wrap + 1000, wrap + 2000}, {7*wrap - 5, 7 * wrap}, {7 * wrap, 7*wrap + 5}, {100, wrap + 50},
	} {
		h, err := newHorizon(mark{xmin: marks.bound}, mark{xmax: marks.now})
		if err != nil {
			t.Fatal(err)
		}
		for _, written := range []uint64{3, 99, marks.bound - 1, marks.bound, marks.bound + 1, marks.now - 1} {
			if written >= marks.now || written+wrap <= marks.now {
				continue // it is not seen yet, or longer ago than xmin can tell
			}
			var holds bool
			if err := conn.QueryRow(t.Context(), fmt.Sprintf(`SELECT %s FROM (SELECT '%d'::xid AS xmin) AS t`, h.holds("t.xmin"), written%wrap)).Scan(&holds); err != nil {
				t.Fatal(err)
			}
			if want := written < marks.bound; holds != want {
				t.Errorf("written by %d, seen from %d: older than %d: %v", written, marks.now, marks.bound, holds)
			}
		}
	}
	for _, marks := range []struct{ bound, now uint64 }{{1000, 999}, {1000, 1000 + wrap}} {
		if _, err := newHorizon(mark{xmin: marks.bound}, mark{xmax: marks.now}); err == nil {
			t.Errorf("from %d to %d is taken", marks.bound, marks.now)
		}
	}
}

func TestPace(t *testing.T) {
	p := newPace()
	for range 20 {
		p.took(briefest / 2)
	}
	if p.rows != mostBatch {
		t.Errorf("a quick server gets batches of %d", p.rows)
	}
	p.took((briefest + longest) / 2)
	if p.rows != mostBatch {
		t.Errorf("the right size becomes %d", p.rows)
	}
	for range 20 {
		p.took(2 * longest)
	}
	if p.rows != leastBatch {
		t.Errorf("a slow server gets batches of %d", p.rows)
	}
}

func TestLiteral(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), testkit.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, conforming := range []string{"on", "off"} {
		if _, err := conn.Exec(t.Context(), `SET standard_conforming_strings = `+conforming+`; SET escape_string_warning = off`); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"", "a", `'`, `\`, `\'`, `'; DROP TABLE x; --`, `\\''\'`, "\u00fc\n\t\x01", `$1 $$ E'x'`} {
			var got string
			if err := queryRow(t.Context(), conn, `SELECT `+literal(want), &got); err != nil || got != want {
				t.Errorf("%q comes back as %q, %v", want, got, err)
			}
		}
	}
}
