package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// errLocked says that another process holds the lock.
var errLocked = errors.New("locked by another process")

// lockFile takes the lock of a file for as long as it stays open. The kernel frees it when the process dies,
// however it dies, and no child inherits it.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errLocked
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// lockSoon is lockFile with a moment's patience: a process that is killed while it starts a child leaves the lock
// to the child, until that one executes its program.
func lockSoon(ctx context.Context, path string) (*os.File, error) {
	patience, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return awaitLock(patience, path)
}

// awaitLock is lockFile that waits until the lock is free, at most until ctx ends.
func awaitLock(ctx context.Context, path string) (*os.File, error) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		f, err := lockFile(path)
		if !errors.Is(err, errLocked) {
			return f, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		}
	}
}
