package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock takes the lock of the file, which is created where it is missing, and
// returns what gives it back. An empty name is no lock.
func lock(ctx context.Context, file string) (unlock func() error, err error) {
	if file == "" {
		return func() error { return nil }, nil
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	// To ask again and again would lose against those who share the lock. A
	// wait that ctx ends ends with this process.
	locked := make(chan error, 1)
	go func() {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		for errors.Is(err, syscall.EINTR) {
			err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		}
		locked <- err
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case err := <-locked:
		if err != nil {
			return nil, errors.Join(fmt.Errorf("cannot lock %s: %w", file, err), f.Close())
		}
		return f.Close, nil
	}
}
