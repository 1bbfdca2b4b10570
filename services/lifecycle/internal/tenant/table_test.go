package tenant

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"tenure/shared/events"
	"tenure/shared/retention"
)

var update = flag.Bool("update", false, "write testdata/matrix.txt anew")

// situations are tenants in every state, and with whatever may stand beside it.
var situations = []struct {
	name string
	make func(tb) *world
}{
	{"none", newWorld},
	{"pending_payment", func(t tb) *world { return signedUp(t, "starter", 0) }},
	{"provisioning", provisioning},
	{"provisioning, deletion queued", func(t tb) *world { return provisioning(t).after(CmdDelete, &events.Delete{}) }},
	{"provisioning_failed", provisioningFailed},
	{"provisioning_failed, being abandoned", func(t tb) *world { return provisioningFailed(t).after(CmdAbandon, &events.Abandon{}) }},
	{"abandoned", func(t tb) *world { return signedUp(t, "starter", 0).after(CmdCancelSignup, &events.CancelSignup{}) }},
	{"trialing", trialing},
	{"trialing, the trial is over", func(t tb) *world {
		w := trialing(t)
		w.now = w.state.TrialEndsAt
		return w
	}},
	{"active", active},
	{"active, change pending", pending},
	{"active, exempt", func(t tb) *world { return active(t).after(CmdExempt, &events.Exempt{Reason: "disputed"}) }},
	{"active, exporting", func(t tb) *world { return active(t).after(CmdExport, &events.Export{}) }},
	{"active, held", func(t tb) *world { return active(t).after(CmdPlaceHold, &events.PlaceHold{}) }},
	{"active, deletion to be approved", func(t tb) *world { return awaiting(active(t), CmdDelete) }},
	{"active, over limit", overLimit},
	{"active, idle for long", idle},
	{"active, cold", cold},
	{"active, cold and used", func(t tb) *world {
		w := cold(t)
		w.facts.UsedAt = w.now
		return w
	}},
	{"upgrading", upgrading},
	{"upgrading, blocked", func(t tb) *world { return upgrading(t).after(CmdSuspend, &events.Suspend{}) }},
	{"upgrading, stuck", stuck},
	{"upgrading, deletion to be approved", func(t tb) *world { return awaiting(upgrading(t), CmdDelete) }},
	{"upgrading, deletion queued", func(t tb) *world { return upgrading(t).after(CmdDelete, &events.Delete{}) }},
	{"downgrading", func(t tb) *world { return active(t).after(CmdDowngrade, &events.Downgrade{Plan: "free", At: "now"}) }},
	{"past_due", func(t tb) *world { return active(t).after(CmdPaymentFailed, &PaymentFailed{}) }},
	{"past_due, exempt", func(t tb) *world {
		return active(t).after(CmdExempt, &events.Exempt{Reason: "disputed"}).after(CmdPaymentFailed, &PaymentFailed{})
	}},
	{"past_due, change pending", func(t tb) *world { return pending(t).after(CmdPaymentFailed, &PaymentFailed{}) }},
	{"suspended by an operator", func(t tb) *world { return active(t).after(CmdSuspend, &events.Suspend{}) }},
	{"suspended, unpaid", unpaidTenant},
	{"suspended, change pending", func(t tb) *world { return pending(t).after(CmdSuspend, &events.Suspend{}) }},
	{"suspended, unpaid and by an operator", func(t tb) *world { return unpaidTenant(t).after(CmdSuspend, &events.Suspend{}) }},
	{"reactivating, change pending", func(t tb) *world {
		w := pending(t)
		w.facts.Policy.Grace = 0
		return w.after(CmdPaymentFailed, &PaymentFailed{}).after(CmdReactivate, &events.Reactivate{})
	}},
	{"reactivating", func(t tb) *world { return deleting(t).after(CmdCancelDeletion, &events.CancelDeletion{}) }},
	{"deleting", deleting},
	{"deleting, due and held", held},
	{"deleting, due and held, release to be approved", func(t tb) *world { return awaiting(held(t), CmdReleaseHold) }},
	{"purging", purging},
	{"deleted", deleted},
}

func provisioning(t tb) *world {
	return signedUp(t, "starter", 0).after(CmdConfirmPayment, &ConfirmPayment{Status: "active"})
}

func provisioningFailed(t tb) *world {
	w := provisioning(t)
	w.failed("sample", actionProvision, "provisioning.failed")
	return w
}

func upgrading(t tb) *world {
	return active(t).after(CmdUpgrade, &events.Upgrade{Plan: "professional"})
}

func pending(t tb) *world { return active(t).after(CmdDowngrade, &events.Downgrade{Plan: "free"}) }

func stuck(t tb) *world {
	w := upgrading(t)
	w.failed("sample", actionProvision, "step.requested", "step.requested")
	w.failed("sample", actionProvision, "upgrade.stuck")
	return w
}

func overLimit(t tb) *world {
	w := active(t)
	w.facts.Usage.Documents = 5_001
	return w.after(CmdCheckUsage, &CheckUsage{})
}

func idle(t tb) *world {
	w := active(t)
	w.now = w.state.CreatedAt.Add(w.facts.Policy.Idle())
	return w
}

func cold(t tb) *world { return idle(t).after(CmdCool, &Cool{}) }

func unpaidTenant(t tb) *world {
	w := active(t)
	w.facts.Policy.Grace = 0
	return w.after(CmdPaymentFailed, &PaymentFailed{})
}

// awaiting is a tenant for which another operator has asked for this, under a policy that wants two.
func awaiting(w *world, command string) *world {
	w.facts.Policy.Retention.Approvals = retention.Approvals{Delete: true, ReleaseHold: true}
	asks := w.actor
	w.actor = "operator:bob"
	w.after(command, sample(w, command))
	w.actor = asks
	return w
}

func held(t tb) *world {
	w := deleting(t).after(CmdPlaceHold, &events.PlaceHold{})
	w.fire(TimerPurgeDue, "purge.deferred")
	return w
}

// sample is a payload with which a command would go through in a state that allows it.
func sample(w *world, command string) events.Payload {
	switch command {
	case CmdRegister:
		return &events.Register{Plan: "starter"}
	case CmdConfirmPayment:
		return &ConfirmPayment{Status: "active"}
	case CmdConvertTrial:
		return &ConfirmPayment{Status: "active"}
	case CmdUpgrade:
		return &events.Upgrade{Plan: "enterprise"}
	case CmdDowngrade:
		return &events.Downgrade{Plan: "free", Resolution: "freeze"}
	case CmdSuspend:
		return &events.Suspend{Block: BlockAbuse}
	case CmdCancelExport:
		if w.state.Export != nil {
			return &events.CancelExport{ExportID: w.state.Export.ID}
		}
		return &events.CancelExport{}
	case CmdApprove, CmdReject:
		id := "none"
		if len(w.state.Approvals) > 0 {
			id = w.state.Approvals[0].ID
		}
		if command == CmdReject {
			return &events.Reject{ApprovalID: id}
		}
		return &events.Approve{ApprovalID: id}
	case CmdReactivate:
		return &events.Reactivate{RestoreData: ptr(w.state.Name != Deleted)}
	case CmdReportResidue:
		return &ReportResidue{Store: "documents", Rows: 1}
	case CmdReportEarly:
		return &ReportEarly{Version: 1}
	case CmdPaymentFailed:
		return &PaymentFailed{}
	case CmdPaymentRecovered:
		return &PaymentRecovered{}
	case CmdChangeDue:
		return &ChangeDue{} // nothing is charged any more
	case CmdCheckUsage:
		return &CheckUsage{}
	case CmdCool:
		return &Cool{}
	case CmdRetryOperation:
		return &RetryOperation{}
	case CmdCompleteStep:
		return &CompleteStep{StepID: "none"}
	case CmdFailStep:
		return &FailStep{StepID: "none"}
	case CmdCompleteExport:
		return &CompleteExport{ExportID: "none"}
	case CmdFailExport:
		return &FailExport{ExportID: "none"}
	case CmdFireTimer:
		return &FireTimer{Kind: "none"}
	}
	p, _ := events.NewPayload(events.CommandType(command))
	return p
}

// TestEveryStateAndCommand tries all commands in all situations. What the table does not name must be refused; what
// it names must emit what testdata/matrix.txt says, which a person has read.
func TestEveryStateAndCommand(t *testing.T) {
	var matrix strings.Builder
	seen := map[StateName]bool{}
	for _, situation := range situations {
		seen[situation.make(t).state.Name] = true
		for _, command := range slices.Sorted(maps.Keys(deciders)) {
			w := situation.make(t)
			before := w.state
			got, err := w.send(command, sample(w, command))
			var r *Refusal
			switch errors.As(err, &r); {
			case r == nil && len(got) == 0:
				continue // nothing follows, which is the table's or the answer's to say
			case r == nil:
				fmt.Fprintf(&matrix, "%s: %s -> %s [%s]\n", situation.name, command, w.state.Status(), strings.Join(got, " "))
			case r.Code != CodeInvalidTransition && r.Code != CodeUnknownTenant:
				fmt.Fprintf(&matrix, "%s: %s refused: %s\n", situation.name, command, r.Code)
			}
			inTable(t, before, command, got, r)
		}
	}
	for _, s := range append(slices.Clone(living), None, Abandoned, Deleted) {
		if !seen[s] {
			t.Errorf("no situation shows %q", s)
		}
	}
	golden(t, "testdata/matrix.txt", matrix.String())
}

// inTable holds a decision against the rows, looked up in another way than Decide does.
func inTable(t *testing.T, s State, command string, got []string, r *Refusal) {
	t.Helper()
	command = meaning(s, Command{Name: command, Payload: sample(&world{state: s}, command)})
	var events []string
	for _, row := range Transitions() {
		if row.From == s.Name && row.Command == command {
			events = append(events, row.Event)
		}
	}
	switch {
	case r != nil && !slices.Equal(r.Allowed, s.AllowedCommands()):
		t.Errorf("%s in %s names %v, not what is allowed", command, s.Status(), r.Allowed)
	case answers[command]:
	case r == nil && !slices.Contains(events, got[0]) && got[0] != "downgrade.cancelled":
		t.Errorf("%s in %s emitted %v; its rows say %v", command, s.Status(), got, events)
	case r == nil:
	case s.Name == None && r.Code != CodeUnknownTenant,
		s.Name != None && events == nil && r.Code != CodeInvalidTransition && r.Code != CodeOperationInProgress:
		t.Errorf("%s in %s is in no row and was refused with %s", command, s.Status(), r.Code)
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	wanted := strings.Split(string(want), "\n")
	for _, line := range strings.Split(got, "\n") {
		if !slices.Contains(wanted, line) {
			t.Errorf("new: %s", line)
		}
	}
	for _, line := range wanted {
		if !slices.Contains(strings.Split(got, "\n"), line) {
			t.Errorf("gone: %s", line)
		}
	}
	t.Errorf("%s is not what is decided; if it should be, run go test -update and read the difference", file)
}

// Every row must be reachable from the outside: a typing error in the table would be a dead row or a refusal.
func TestRowsAreWellFormed(t *testing.T) {
	sent := map[string]bool{}
	for name := range deciders {
		sent[name] = true
	}
	words := map[string]bool{}
	for _, s := range events.States() {
		words[s] = true
	}
	for _, row := range Transitions() {
		if !words[string(row.From)] || !words[string(row.To)] {
			t.Errorf("%+v names a state that the events do not know", row)
		}
		if row.Event != "" {
			if _, ok := events.NewPayload("tenure.lifecycle." + row.Event + ".v1"); !ok {
				t.Errorf("%+v names an unknown event", row)
			}
		}
		if row.From != row.To && row.Event == "" {
			t.Errorf("%+v moves without an event", row)
		}
		delete(sent, row.Command)
	}
	for name := range sent {
		if !answers[name] {
			t.Errorf("no row has the command %s", name)
		}
	}
	for _, name := range public {
		if deciders[name] == nil {
			t.Errorf("%s is public and cannot be sent", name)
		}
	}
	if !slices.IsSorted(public) {
		t.Error("the public commands are not sorted")
	}
}

func TestIllegalMoveIsABugNotARefusal(t *testing.T) {
	d := &decision{state: State{Name: Active}, cmd: Command{Name: CmdUpgrade}}
	d.move(CmdUpgrade, Deleted, &events.TenantPurged{})
	if d.bug == nil {
		t.Fatal("an active tenant was purged by an upgrade")
	}
}
