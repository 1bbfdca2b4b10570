package gate

import (
	"strings"
	"testing"

	"tenure/shared/events"
)

// wantRights is the design's table, one line per state and block: what each capability is answered with.
const wantRights = `
state               blocks           query ingest export by_operator change_plan portal
unknown             -                503   503    503    503         503         503
pending_payment     -                402   402    402    402         402         200
provisioning        -                503   503    503    503         503         200
provisioning_failed -                503   503    503    503         503         200
trialing            -                200   200    200    200         200         200
active              -                200   200    200    200         200         200
active              over_limit       200   402    200    200         200         200
past_due            -                200   200    200    200         402         200
past_due            over_limit       200   402    200    200         402         200
upgrading           -                200   200    200    200         409         200
upgrading           read_only        200   423    200    200         409         200
upgrading           read_only,over_limit 200 402  200    200         409         200
suspended           read_only,admin  403   403    403    200         403         200
upgrading           payment          200   200    200    200         409         200
downgrading         over_limit       200   402    200    200         409         200
downgrading         admin,over_limit 200   402    200    200         409         200
suspended           payment          402   402    200    200         402         200
suspended           trial            402   402    200    200         402         200
suspended           admin            403   403    403    200         403         200
suspended           abuse            403   403    403    200         403         200
suspended           payment,abuse    403   403    403    200         403         200
suspended           of_the_future    403   403    403    200         403         200
suspended           -                403   403    403    200         403         200
reactivating        -                503   503    503    503         503         200
deleting            -                403   403    200    200         403         403
purging             -                410   410    410    410         410         410
deleted             -                410   410    410    410         410         410
abandoned           -                410   410    410    410         410         410
`

func TestDecide(t *testing.T) {
	seen := map[State]bool{}
	for _, line := range strings.Split(strings.TrimSpace(wantRights), "\n")[1:] {
		fields := strings.Fields(line)
		access := Access{State: ParseState(fields[0]), Blocks: blocksIn(fields[1])}
		seen[access.State] = true
		for c := range capabilityCount {
			verdict := Decide(access, c)
			want := statuses[fields[2+c]]
			if verdict.Status != want || verdict.Allowed != (want == 200) {
				t.Errorf("%s (%s) %s: %d, want %d", fields[0], fields[1], c, verdict.Status, want)
			}
			if verdict.Code == "" || (verdict.Reason == "") == !verdict.Allowed {
				t.Errorf("%s (%s) %s: a refusal needs a code and a reason: %+v", fields[0], fields[1], c, verdict)
			}
			if wantRetry := want == 503 || want == 409 || want == 423; (verdict.RetryAfter > 0) != wantRetry {
				t.Errorf("%s (%s) %s: retry after %s", fields[0], fields[1], c, verdict.RetryAfter)
			}
		}
	}
	if len(seen) != int(stateCount) {
		t.Errorf("the table names %d of %d states", len(seen), stateCount)
	}
}

var statuses = map[string]int{"200": 200, "402": 402, "403": 403, "409": 409, "410": 410, "423": 423, "503": 503}

func blocksIn(list string) (set Blocks) {
	for kind := range strings.SplitSeq(list, ",") {
		switch kind {
		case "-":
		case "read_only": // no kind of block that an event lists
			set |= BlockReadOnly
		default:
			set |= BlocksOf([]events.Block{{Kind: kind}})
		}
	}
	return set
}

func TestNamesReadBack(t *testing.T) {
	for s := range stateCount {
		if ParseState(s.String()) != s {
			t.Errorf("state %d reads back as %s", s, ParseState(s.String()))
		}
	}
	for c := range capabilityCount {
		if got, err := ParseCapability(c.String()); err != nil || got != c {
			t.Errorf("capability %s reads back as %s, %v", c, got, err)
		}
	}
	if _, err := ParseCapability("fly"); err == nil {
		t.Error("an unknown capability was read")
	}
	if ParseState("merging") != Unknown {
		t.Error("a state of the future is taken for a known one")
	}
}

func TestDecideOutOfRange(t *testing.T) {
	if v := Decide(Access{State: stateCount}, Query); v.Allowed {
		t.Error("an impossible state is open")
	}
	if v := Decide(Access{State: Active}, capabilityCount); v.Allowed {
		t.Error("an impossible capability is allowed")
	}
}
