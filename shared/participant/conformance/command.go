package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// Command returns a Participant.Start that runs a program with the environment as variables. What it says goes to output.
func Command(output io.Writer, name string, args ...string) func(Environment) (Process, error) {
	return func(e Environment) (Process, error) {
		cmd := exec.CommandContext(context.Background(), name, args...) // Kill ends it
		cmd.Env = append(os.Environ(), "NATS_URL="+e.BusURL, "TENURE_URL="+e.ControlURL, "TENURE_TOKEN="+e.Token)
		cmd.Stdout, cmd.Stderr = output, output
		if err := cmd.Start(); err != nil {
			return nil, fmt.Errorf("run %s: %w", name, err)
		}
		return process{cmd}, nil
	}
}

type process struct{ cmd *exec.Cmd }

// Kill implements Process.
func (p process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_ = p.cmd.Wait() // it says how the process ended, and that is known
	return nil
}
