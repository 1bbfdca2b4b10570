//go:build unix && !linux

package pgserver

import (
	"context"
	"syscall"
)

// identify: the user who runs us. There is no parent-death signal here: a server that outlives a killed parent is
// noticed at the next start, by PostgreSQL's own lock.
func identify(context.Context, Binaries, thread) (identity, error) {
	return identity{attr: &syscall.SysProcAttr{Setpgid: true}}, nil
}

// processes cannot be told here.
func processes(string) []int { return nil }

// isPostgres says yes: without a way to know, the pid file is left to PostgreSQL's judgement.
func isPostgres(int) bool { return true }
