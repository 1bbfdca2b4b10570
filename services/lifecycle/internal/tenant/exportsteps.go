package tenant

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"tenure/shared/events"
)

// The files that participants add to an archive. They are asked by steps like those of a lease, with tries and deadlines
// as those have, but an export stands beside the state: there is no way back, and when one of them cannot answer, the export
// fails and nothing else does.

func newExport(p *events.ExportRequested, at time.Time) *Export {
	x := &Export{ID: p.ExportID, RequestedAt: at, Include: p.Include}
	if p.ChangedSince != nil {
		x.Since = *p.ChangedSince
	}
	for _, s := range exportSteps(p) {
		x.Steps = append(x.Steps, Step{ID: s.ID, Participant: s.Participant, Action: s.Action, Status: StepPending})
	}
	return x
}

// exportSteps are those that an export begins with.
func exportSteps(p *events.ExportRequested) []StepView {
	var out []StepView
	for i, name := range p.Participants {
		id := fmt.Sprintf("%s-%d", p.ExportID, i+1)
		out = append(out, StepView{ID: id, Participant: name, Action: actionExport, Phase: 1, Status: StepPending})
	}
	return out
}

func (x *Export) step(key string) (int, bool) {
	if x == nil {
		return 0, false
	}
	i := slices.IndexFunc(x.Steps, func(s Step) bool { return s.key() == key })
	return i, i >= 0
}

// change applies edit to a copy of the step; the id of a lease's step changes nothing.
func (x *Export) change(key string, edit func(*Step)) *Export {
	i, ok := x.step(key)
	if !ok {
		return x
	}
	next := *x
	next.Steps = slices.Clone(x.Steps)
	edit(&next.Steps[i])
	return &next
}

func (x *Export) requested(p *events.StepRequested) *Export {
	return x.change(p.StepID, func(s *Step) { s.request(p) })
}

func (x *Export) done(p *events.StepDone) *Export {
	return x.change(p.StepID, (*Step).done)
}

func (x *Export) errored(p *events.StepErrored) *Export {
	return x.change(p.StepID, func(s *Step) { s.failed(p) })
}

// exporters are the participants that add files.
func (d *decision) exporters() []string {
	var out []string
	for _, s := range d.each(actionExport) {
		out = append(out, s.Participant)
	}
	return out
}

func (d *decision) requestFiles(s Step) {
	x := d.state.Export
	d.note(&events.StepRequested{
		Change: events.Change{Reason: OpExport + ": " + s.Participant},
		StepRequest: events.StepRequest{
			StepID: s.ID, OperationID: x.ID, Operation: OpExport, Participant: s.Participant, Action: s.Action,
			Attempt: s.Attempt + 1, Since: moment(x.Since), Include: x.Include, Generation: d.state.Generation,
			Deadline: d.cmd.Now.Add(d.timeoutOf(s)),
		},
	})
}

// timeoutOf is that of the participant as it is registered now, else the policy's.
func (d *decision) timeoutOf(s Step) time.Duration {
	var own time.Duration
	for _, p := range d.cmd.Facts.Participants {
		if p.Name == s.Participant {
			own = p.Timeout
		}
	}
	return time.Duration(d.stepOf(s.Participant, s.Action, own).TimeoutSeconds) * time.Second
}

// takeFiles records what a participant has for the archive. An answer that the archive cannot be made of is none: without
// its files it would look whole, and not be.
func (d *decision) takeFiles(s Step, result json.RawMessage) {
	if _, err := events.DecodeExportFiles(result); err != nil {
		d.failFiles(s, err.Error(), true)
		return
	}
	d.note(stepDone(d.state.Export.ID, s, result))
}

// failFiles gives the step another try or, when there is none left, the export up.
func (d *decision) failFiles(s Step, why string, spent bool) {
	x := d.state.Export
	d.note(d.stepErrored(x.ID, s, why, spent))
	if spent {
		d.endExport(x.ID, s.Participant+": "+why)
	}
}
