package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"tenure/shared/client"
)

const barWidth = 24

// progress prints lines, and below them on a terminal one bar that is drawn over.
type progress struct {
	out io.Writer
	tty bool
	bar string
}

func newProgress(out io.Writer) *progress {
	p := &progress{out: out}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		p.tty = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

func (p *progress) line(format string, args ...any) {
	if p.bar != "" {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
	fmt.Fprintf(p.out, format+"\n", args...)
	fmt.Fprint(p.out, p.bar)
}

// set redraws the bar; done is between 0 and 1. Nothing is drawn where nobody could see it move.
func (p *progress) set(done float64, label string) {
	if !p.tty {
		return
	}
	full := int(min(max(done, 0), 1) * barWidth)
	p.bar = fmt.Sprintf("[%s%s] %3.0f%% %s", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), 100*done, label)
	fmt.Fprint(p.out, "\r\x1b[K"+p.bar)
}

// end takes the bar away.
func (p *progress) end() {
	if p.bar != "" {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.bar = ""
	}
}

// followOperation prints the steps of an operation as they go on. The error tells how the operation failed.
func followOperation(ctx context.Context, c *client.Client, p *progress, id string) error {
	defer p.end()
	seen := map[string]client.Step{}
	var last client.Operation
	for op, err := range c.Watch(ctx, id) {
		if err != nil {
			return err
		}
		for _, step := range op.Steps {
			key := fmt.Sprint(step.ID, step.Compensate)
			// What runs is on the bar; a line tells how it came out.
			if seen[key] != step && step.Status != client.StatusPending && step.Status != client.StatusRunning {
				p.line("%s", stepLine(step))
			}
			seen[key] = step
		}
		p.set(op.Progress, op.Step)
		last = op
	}
	p.end()
	if last.Status != client.StatusSucceeded {
		return fmt.Errorf("%s of %s: %s", last.Kind, last.Tenant, strings.TrimSpace(last.Status+" "+last.Error))
	}
	p.line("%s of %s: %s", last.Kind, last.Tenant, last.Status)
	return nil
}

func stepLine(s client.Step) string {
	action := s.Action
	if s.Compensate {
		action = "undo " + action
	}
	line := fmt.Sprintf("  %-16s %-12s %s", action, s.Participant, s.Status)
	if s.Attempt > 1 {
		line += fmt.Sprintf(", try %d", s.Attempt)
	}
	if s.Error != "" {
		line += ": " + s.Error
	}
	return line
}

// followTenant prints a tenant's events after version until it is in one of the states.
func followTenant(ctx context.Context, c *client.Client, p *progress, id string, version int64, states ...string) (state string, err error) {
	for e, err := range c.Tail(ctx, client.EventFilter{Tenant: id}) {
		if err != nil {
			return "", err
		}
		if e.Version <= version {
			continue
		}
		p.line("%s", eventLine(e))
		if slices.Contains(states, e.To) {
			return e.To, nil
		}
	}
	return "", errors.New("the log ended") // Tail ends with an error alone
}
