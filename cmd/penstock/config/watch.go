package config

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"time"

	"github.com/penstock-io/penstock/internal/filewatch"
	"github.com/penstock-io/penstock/internal/settings/layers"
)

const (
	// debounce is how long the file's directory has to be quiet before the
	// file is read: an editor writes it in several steps.
	debounce = 250 * time.Millisecond
	// pollEvery is for file systems that report no changes.
	pollEvery = 15 * time.Second
)

// Watcher tells when what a configuration file says has changed, by whatever
// way: it may be written to, replaced by a rename, or reached through symbolic
// links that are swapped, as Kubernetes does with a ConfigMap.
type Watcher struct {
	file string
	seen [sha256.Size]byte // of what was there at the last look
	poll time.Duration
}

// NewWatcher returns a Watcher that compares with what the file says now, so
// call it before Load.
func NewWatcher(file string) *Watcher {
	w := &Watcher{file: file, poll: pollEvery}
	w.seen = w.sum()
	return w
}

// sum identifies what the file says. A file that cannot be read says nothing.
func (w *Watcher) sum() [sha256.Size]byte {
	text, err := layers.ReadFile(w.file)
	if err != nil {
		return [sha256.Size]byte{}
	}
	return sha256.Sum256(text)
}

// Run calls changed, in its own goroutine, after each change until ctx is
// done. A change that is undone within the debounce time is none. It is
// called once.
func (w *Watcher) Run(ctx context.Context, log *slog.Logger, changed func()) {
	filewatch.File{Path: w.file, Quiet: debounce, Poll: w.poll, Look: func() {
		if now := w.sum(); now != w.seen {
			w.seen = now
			changed()
		}
	}}.Run(ctx, log)
}
