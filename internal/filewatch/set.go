package filewatch

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Set is files that mean something only together, such as a certificate and
// its key.
type Set struct {
	Paths       []string // empty ones are left out
	Quiet, Poll time.Duration
	Look        func() // as File's, for any of them
}

// Run watches the files until ctx is done. It calls Look from goroutines of
// its own, one at a time.
func (s Set) Run(ctx context.Context, log *slog.Logger) {
	var (
		watching sync.WaitGroup
		looking  sync.Mutex
	)
	for _, path := range s.Paths {
		if path == "" {
			continue
		}
		watching.Go(func() {
			File{Path: path, Quiet: s.Quiet, Poll: s.Poll, Look: func() {
				looking.Lock()
				defer looking.Unlock()
				s.Look()
			}}.Run(ctx, log)
		})
	}
	watching.Wait()
}
