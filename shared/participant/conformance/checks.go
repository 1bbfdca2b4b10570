package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"tenure/shared/events"
)

// did asks for a step and wants it done.
func (d *driver) did(ctx context.Context, tenant string, r events.StepRequest) (reply, error) {
	asked, err := d.ask(ctx, tenant, r)
	if err != nil {
		return reply{}, err
	}
	step := r.StepID
	if step == "" {
		step = fmt.Sprintf("step-%d", asked.Sequence)
	}
	got, err := d.answerTo(ctx, asked, step)
	if err == nil && got.event.Name() != events.StepCompletedName {
		err = fmt.Errorf("%s of a tenant without anything failed: %s", r.Action, got.data.Error)
	}
	return got, err
}

func everyAction(ctx context.Context, d *driver) error {
	for _, action := range d.Actions {
		got, err := d.did(ctx, tenant, events.StepRequest{Action: action})
		if err != nil {
			return err
		}
		if action == "verify" || action == "erase" {
			if err := counts(got.data.Result); err != nil {
				return fmt.Errorf("%s: %w", action, err)
			}
		}
	}
	return nil
}

// counts holds the result of an erase or a verify to what the certificate needs. A result is optional.
func counts(result json.RawMessage) error {
	if len(result) == 0 || string(result) == "null" {
		return nil
	}
	var c struct {
		Before *int64 `json:"before"`
		After  *int64 `json:"after"`
	}
	if err := json.Unmarshal(result, &c); err != nil || c.After == nil {
		return fmt.Errorf("the result %s has no count: {\"before\": rows, \"after\": rows}", result)
	}
	if *c.After != 0 {
		return fmt.Errorf("%d rows are left of a tenant that never had any", *c.After)
	}
	return nil
}

func askedAgain(ctx context.Context, d *driver) error {
	for attempt := 1; attempt <= 3; attempt++ {
		if _, err := d.did(ctx, tenant, events.StepRequest{StepID: "twice", Action: d.Actions[0], Attempt: attempt}); err != nil {
			return fmt.Errorf("attempt %d: %w", attempt, err)
		}
	}
	return nil
}

func wayBack(ctx context.Context, d *driver) error {
	there, err := d.did(ctx, tenant, events.StepRequest{StepID: "there", Action: d.Actions[0]})
	if err != nil {
		return err
	}
	back, err := d.did(ctx, tenant, events.StepRequest{StepID: "there-undo", Action: d.Actions[0], Compensate: true})
	if err != nil {
		return err
	}
	if there.event.ID == back.event.ID {
		return fmt.Errorf("both answers have the id %s: the second counts as a repetition of the first", back.event.ID)
	}
	return nil
}

func others(ctx context.Context, d *driver) error {
	if _, err := d.ask(ctx, tenant, events.StepRequest{StepID: "not-mine", Participant: d.Name + "-other", Action: d.Actions[0]}); err != nil {
		return err
	}
	_, err := d.did(ctx, tenant, events.StepRequest{StepID: "mine", Action: d.Actions[0]})
	return err
}

func unknownAction(ctx context.Context, d *driver) error {
	asked, err := d.ask(ctx, tenant, events.StepRequest{StepID: "juggle", Action: "juggle"})
	if err != nil {
		return err
	}
	got, err := d.answerTo(ctx, asked, "juggle")
	switch {
	case err != nil:
		return err
	case got.event.Name() != events.StepFailedName:
		return errors.New("it says that it did something that it does not know")
	case !got.data.Permanent:
		return errors.New("set permanent in step.failed: trying again is of no use")
	}
	return nil
}

// noise is what a newer Tenure, or somebody else, may send.
func noise(ctx context.Context, d *driver) error {
	subject := events.BusSubject((*events.StepRequested)(nil).EventType(), tenant)
	for _, body := range []string{"", "}{", `{"specversion":"1.0"}`, "[]"} {
		if err := d.bus.Conn().Publish(subject, []byte(body)); err != nil {
			return err
		}
	}
	d.sequence++
	newer := fmt.Sprintf(`{"specversion":"1.0","id":"%s.%d","source":"tenure/lifecycle","type":"tenure.lifecycle.step.requested.v1","subject":%q,
		"time":%q,"sequence":%d,"newextension":"x","data":{"from_state":"upgrading","to_state":"upgrading","step_id":"newer","operation_id":"operation",
		"operation":"upgrade","participant":%q,"action":%q,"attempt":1,"generation":1,"deadline":%q,"something":{"new":[1]}}}`,
		tenant, d.sequence, tenant, time.Now().UTC().Format(time.RFC3339Nano), d.sequence, d.Name, d.Actions[0],
		time.Now().Add(time.Minute).UTC().Format(time.RFC3339Nano))
	if err := d.bus.Conn().Publish(subject, []byte(newer)); err != nil {
		return err
	}
	_, err := d.answerTo(ctx, events.Event{Subject: tenant}, "newer")
	return err
}

// late: the lifecycle has counted the step as failed and asked again, or takes it back. An answer now would be taken for
// that of the next attempt.
func late(ctx context.Context, d *driver) error {
	r := events.StepRequest{StepID: "late", Action: d.Actions[0], Deadline: time.Now().Add(-time.Minute)}
	if _, err := d.ask(ctx, tenant, r); err != nil {
		return err
	}
	_, err := d.did(ctx, tenant, events.StepRequest{StepID: "in-time", Action: d.Actions[0]})
	return err
}

func order(ctx context.Context, d *driver) error {
	const steps = 20
	asked := make([]events.Event, steps)
	for i := range asked {
		var err error
		if asked[i], err = d.ask(ctx, "conformance-b", events.StepRequest{StepID: fmt.Sprintf("row-%02d", i), Action: d.Actions[0]}); err != nil {
			return err
		}
	}
	for i := range asked {
		if _, err := d.answerTo(ctx, asked[i], fmt.Sprintf("row-%02d", i)); err != nil {
			return err
		}
	}
	return nil
}

// exportFiles: since a time, and of one kind. A participant without the action has nothing to show here.
func exportFiles(ctx context.Context, d *driver) error {
	if !slices.Contains(d.Actions, exportAction) {
		return nil
	}
	since := time.Now().Add(-time.Hour).UTC()
	got, err := d.did(ctx, tenant, events.StepRequest{Action: exportAction, Since: &since, Include: []string{"documents"}})
	if err != nil {
		return err
	}
	_, err = events.DecodeExportFiles(got.data.Result)
	return err
}

func restart(ctx context.Context, d *driver) error {
	if err := d.process.Kill(); err != nil {
		return err
	}
	asked, err := d.ask(ctx, tenant, events.StepRequest{StepID: "while-down", Action: d.Actions[0]})
	if err != nil {
		return err
	}
	if d.process, err = d.Start(d.environment); err != nil {
		return err
	}
	// It died between an answer and its acknowledgement, perhaps: an earlier step may well be answered once more.
	for {
		r, err := d.within(ctx, d.Patience)
		if err != nil {
			return fmt.Errorf("while-down: %w", err)
		}
		if r.data.StepID == "while-down" {
			return d.conforms(r, asked, "while-down")
		}
	}
}
