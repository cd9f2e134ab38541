// Package filewatch tells when a file may have changed, in whatever way: it
// is written to, replaced by a rename, removed and made again, or reached
// through symbolic links that are swapped, as Kubernetes does with a
// ConfigMap.
//
// Directories are watched, not the file: that of the path, and that of the
// file that the path leads to. What the file system does not report, a poll
// finds. Whether the file has really changed is for the caller to find out.
package filewatch

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// maxQuiet bounds how long a look waits in a directory that is never quiet:
// so many quiet times.
const maxQuiet = 10

// File is a file to be watched.
type File struct {
	Path string

	// Quiet is how long the directories have to be without a change before
	// Look is called.
	Quiet time.Duration

	// Poll is the time between two looks without a reason.
	Poll time.Duration

	// Look is called at once, after changes in the directories, and every
	// Poll.
	Look func()

	// Touched is called at once when the file system says that it is this
	// file that has changed, or that it cannot keep up. It may be nil.
	Touched func()
}

// Run watches the file until ctx is done. It calls Look and Touched from its
// own goroutine, one at a time.
func (f File) Run(ctx context.Context, log *slog.Logger) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("cannot watch the file, it is polled only", "file", f.Path, "interval", f.Poll, "error", err)
		w = &fsnotify.Watcher{} // its channels are nil and never ready
	} else {
		defer func() { _ = w.Close() }()
	}
	dirs := watchedDirs{watcher: w, broken: err != nil, path: filepath.Clean(f.Path)}
	touched := func() {
		if f.Touched != nil {
			f.Touched()
		}
	}
	look := func() {
		dirs.update()
		f.Look()
	}
	look()

	poll := time.NewTicker(f.Poll)
	defer poll.Stop()
	quiet := time.NewTimer(0)
	quiet.Stop()
	defer quiet.Stop()
	var since time.Time // of the first change that nobody has looked at
	for {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
			look()
		case <-quiet.C:
			since = time.Time{}
			look()
		case ev, ok := <-w.Events:
			if !ok {
				return
			}
			if dirs.names(ev.Name) && ev.Op != fsnotify.Chmod {
				touched()
			}
			// Whichever file it was: with links, any may be this one's.
			now := time.Now()
			if since.IsZero() {
				since = now
			}
			if now.Sub(since) < maxQuiet*f.Quiet {
				quiet.Reset(f.Quiet)
			}
		case err := <-w.Errors:
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				touched()
				look()
				continue
			}
			log.Warn("cannot watch the file as it should be", "file", f.Path, "error", err)
		}
	}
}

// watchedDirs are the directories that one file needs watched.
type watchedDirs struct {
	watcher *fsnotify.Watcher
	broken  bool

	path, real string // of the file
	realDir    string // watched now, beside that of path; "" if not
}

// update watches the directories that matter now. It is cheap when nothing
// has changed, and watches a directory again that was made anew.
func (d *watchedDirs) update() {
	if d.broken {
		return
	}
	// Watching what is watched already does nothing; what cannot be watched
	// now is tried again at the next look.
	pathDir := filepath.Dir(d.path)
	_ = d.watcher.Add(pathDir)
	target, err := filepath.EvalSymlinks(d.path)
	if err != nil {
		return
	}
	before := d.realDir
	d.real, d.realDir = target, filepath.Dir(target)
	_ = d.watcher.Add(d.realDir)
	if before != "" && before != d.realDir && before != pathDir {
		_ = d.watcher.Remove(before)
	}
}

// names reports whether an event's name is that of the file.
func (d *watchedDirs) names(name string) bool {
	name = filepath.Clean(name)
	return name == d.path || name == d.real
}
