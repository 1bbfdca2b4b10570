// Package conformance checks a participant from outside, whatever language it is written in: it plays the lifecycle on a
// bus of its own, asks for steps as Tenure would, and looks at the answers.
//
// What it cannot see is whether a step asked for twice was done once, or whether erased data is gone: only the
// participant knows its store.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tenure/shared/bus"
)

// Participant is what is checked.
type Participant struct {
	// Name under which it takes part.
	Name string
	// Actions that it does. Empty: those with which it registers at the control plane's address.
	Actions []string
	// Start runs it. It may be called again after the process was killed.
	Start func(Environment) (Process, error)
	// Patience is how long an answer may take. 0: 20 s.
	Patience time.Duration
}

// Environment is what a participant needs to know, as variables of its process: NATS_URL, TENURE_URL, TENURE_TOKEN.
type Environment struct {
	BusURL     string
	ControlURL string
	Token      string
}

// Process is a running participant.
type Process interface {
	// Kill ends it at once, as kill -9 does, and waits until it is gone.
	Kill() error
}

// Result is what became of one check.
type Result struct {
	// Check says what was looked at, as a sentence about a participant that passes.
	Check string
	// Err is nil when it passed, and says what to change when not.
	Err error
}

// Check starts the participant, runs all checks one after another and kills it. The error is one of the suite itself:
// the bus, or a participant that does not start.
func Check(ctx context.Context, b *bus.Bus, busURL string, p Participant) ([]Result, error) {
	if p.Patience <= 0 {
		p.Patience = 20 * time.Second
	}
	d, err := newDriver(ctx, b, p)
	if err != nil {
		return nil, err
	}
	defer d.close()
	d.environment.BusURL = busURL
	if d.process, err = p.Start(d.environment); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	defer func() { err = errors.Join(err, d.process.Kill()) }()
	if err := d.awake(ctx); err != nil {
		return nil, err
	}
	var results []Result
	for _, c := range checks {
		results = append(results, Result{c.passes, c.run(ctx, d)})
	}
	return results, nil
}

type check struct {
	passes string
	run    func(context.Context, *driver) error
}

var checks = []check{
	{"answers every action that it registered, under its own name, with the step's id", everyAction},
	{"answers again, and not otherwise, when the same step is asked for again", askedAgain},
	{"answers the way back of a step apart from the way there", wayBack},
	{"leaves other participants' steps alone", others},
	{"refuses an action that it does not do, for good", unknownAction},
	{"passes over fields that it does not know, and messages that are none", noise},
	{"leaves a step alone whose deadline is past", late},
	{"does one tenant's steps in the order in which they were asked for", order},
	{"names the files that it adds to an export so that they can be fetched", exportFiles},
	{"goes on with steps that were asked for while it was down", restart},
}
