package tenant

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tenure/shared/events"
)

func (w *world) foresee(name string, p events.Payload) (Outlook, error) {
	before := clone(w.Fatal, w.state)
	o, err := Foresee(w.state, Command{Name: name, ID: "preview", NewID: "preview", Now: w.now, Actor: w.actor, Payload: p, Facts: w.facts})
	if !reflect.DeepEqual(before, w.state) {
		w.Fatalf("%s changed the state", name)
	}
	return o, err
}

// stages writes an outlook as people say it: "upgrading 3m20s, active".
func stages(o Outlook) string {
	said := make([]string, len(o.Stages))
	for i, s := range o.Stages {
		said[i] = string(s.State.Name)
		for _, b := range s.State.Blocks {
			said[i] += " " + b.Kind
		}
		if s.Lasts != nil {
			said[i] += " " + s.Lasts.String()
		}
	}
	return strings.Join(said, ", ")
}

func TestForesee(t *testing.T) {
	over := func(t tb) *world {
		w := active(t)
		w.facts.Usage.Documents = 51
		return w
	}
	for _, c := range []struct {
		name    string
		tenant  *world
		command string
		payload events.Payload
		want    string
	}{
		// provision, drain, bill, switch, restore, release
		{"upgrade", active(t), CmdUpgrade, &events.Upgrade{Plan: "professional"}, "upgrading 3m30s, active"},
		{"upgrade in a trial", trialing(t), CmdUpgrade, &events.Upgrade{Plan: "professional"}, "upgrading 3m30s, trialing"},
		{"upgrade of who is blocked", overLimit(t), CmdUpgrade, &events.Upgrade{Plan: "professional"}, "upgrading over_limit 3m30s, active"},
		{"downgrade now", active(t), CmdDowngrade, &events.Downgrade{Plan: "free", At: "now"}, "downgrading 3m20s, active"},
		{"downgrade", active(t), CmdDowngrade, &events.Downgrade{Plan: "free"}, "active 480h0m0s, downgrading 3m20s, active"},
		{"freeze", over(t), CmdDowngrade, &events.Downgrade{Plan: "free", At: "now", Resolution: "freeze"}, "downgrading 3m20s, active over_limit"},
		{"cancelled change", pending(t), CmdCancelChange, &events.CancelChange{}, "active"},
		{"suspension", active(t), CmdSuspend, &events.Suspend{}, "suspended admin"},
		{"suspension during an upgrade", upgrading(t), CmdSuspend, &events.Suspend{}, "upgrading admin 3m30s, suspended admin"},
		{"return", unpaidTenant(t), CmdReactivate, &events.Reactivate{}, "reactivating 1m0s, active"},
		{"export", active(t), CmdExport, &events.Export{}, "active"},
		{"deletion", active(t), CmdDelete, &events.Delete{RetentionDays: days(1)}, "deleting 24h0m0s, purging, deleted"},
		{"deletion during an upgrade", upgrading(t), CmdDelete, &events.Delete{RetentionDays: days(1)}, "upgrading 1m0s, deleting 23h59m0s, purging, deleted"},
		{"deletion under a hold", active(t).after(CmdPlaceHold, &events.PlaceHold{}), CmdDelete, &events.Delete{RetentionDays: days(1)}, "deleting"},
		{"deletion that another must approve", twoMust(active(t)), CmdDelete, &events.Delete{RetentionDays: days(1)}, "active, deleting 24h0m0s, purging, deleted"},
		{"release that another must approve", twoMust(held(t)), CmdReleaseHold, &events.ReleaseHold{}, "deleting, purging, deleted"},
		{"hold on a deletion", deleting(t), CmdPlaceHold, &events.PlaceHold{}, "deleting"},
		{"release of a due deletion", held(t), CmdReleaseHold, &events.ReleaseHold{}, "purging, deleted"},
		{"a new life", deleted(t), CmdReactivate, &events.Reactivate{RestoreData: ptr(false)}, "provisioning 3m0s, active"},
		{"what is stuck", stuck(t), CmdRetryOperation, &RetryOperation{}, "upgrading 1m0s, active"},
		{"what stays stuck", stuck(t), CmdPlaceHold, &events.PlaceHold{}, "upgrading"},
		{"exemption", unpaidTenant(t), CmdExempt, &events.Exempt{Reason: "x"}, "past_due"},
	} {
		o, err := c.tenant.foresee(c.command, c.payload)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := stages(o); got != c.want {
			t.Errorf("%s: %s, not %s", c.name, got, c.want)
		}
	}
}

func TestForeseenRefusal(t *testing.T) {
	_, err := active(t).foresee(CmdUpgrade, &events.Upgrade{Plan: "free"})
	if r := (*Refusal)(nil); !errors.As(err, &r) || r.Code != CodeNotAnUpgrade {
		t.Errorf("got %v", err)
	}
}

// What is foreseen is what happens: in every situation a command goes the way that its outlook told.
func TestWhatIsForeseenHappens(t *testing.T) {
	for _, situation := range situations {
		for _, command := range public {
			w := situation.make(t)
			o, err := w.foresee(command, sample(w, command))
			if err != nil {
				continue
			}
			told := make([]string, len(o.Events))
			for i, p := range o.Events {
				_, told[i] = events.SplitType(p.EventType())
			}
			seen := len(w.log)
			export := w.state.Export
			w.after(command, sample(w, command))
			if o.After.Name != w.state.Name {
				t.Errorf("%s: %s leads to %s, not to %s", situation.name, command, w.state.Name, o.After.Name)
			}
			for range 2 { // what is due begins an operation of its own
				w.come()
				if w.state.Export != nil && export == nil {
					w.after(CmdCompleteExport, &CompleteExport{ExportID: w.state.Export.ID})
				}
				for _, timer := range w.state.Timers() {
					caused := timer.Kind == TimerDowngradeDue && command == CmdDowngrade || timer.Kind == TimerPurgeDue && command == CmdDelete
					if caused {
						w.now = timer.Due
						w.after(CmdFireTimer, &FireTimer{Kind: timer.Kind, Due: timer.Due, Generation: timer.Generation})
					}
				}
			}
			var happened []string
			for _, e := range w.log[seen:] {
				happened = append(happened, e.event.Name())
			}
			if !slices.Equal(told, happened) || o.End().Name != w.state.Name || o.End().Plan != w.state.Plan {
				t.Errorf("%s: %s\ntold     %v %s\nhappened %v %s", situation.name, command, told, o.End().Name, happened, w.state.Name)
			}
		}
	}
}

// come answers all that is asked of anybody, as long as somebody is asked.
func (w *world) come() {
	for {
		_, moves := w.state.awaited()
		if moves == nil {
			return
		}
		for _, m := range moves {
			w.after(m.name, m.payload)
		}
	}
}

func TestAStageThatIsBoundedByNothingStaysSo(t *testing.T) {
	f := foresight{state: State{Name: Active}}
	hour := time.Hour
	f.rest(&hour)
	f.rest(nil)
	f.rest(&hour)
	if len(f.out.Stages) != 1 || f.out.Stages[0].Lasts != nil {
		t.Errorf("stages %+v", f.out.Stages)
	}
}
