package enrich

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watch implements source. It watches directories and not the file, so that a
// file that is replaced by a rename, or vanishes and comes back, is seen: the
// directory of the path, and that of the file that the path leads to if there
// are symbolic links on the way. Whatever the file system does not report, a
// poll finds.
func (s *fileSource) watch(ctx context.Context, changed func()) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		s.log.Warn("cannot watch the enrichment source, it is polled only",
			"source", s.path, "interval", s.poll, "error", err)
		w = &fsnotify.Watcher{} // its channels are nil and never ready
	} else {
		defer func() { _ = w.Close() }()
	}
	watched := watchedDirs{watcher: w, broken: err != nil}

	// hinted is the state that changed was last called for.
	hinted := ""
	look := func() {
		watched.update(s)
		switch now := s.stamp(); {
		case now == *s.seen.Load() && now != "":
			hinted = ""
		case now == "" || now != hinted:
			hinted = now
			changed()
		}
	}
	look() // what happened between the load and now

	poll := time.NewTicker(s.poll)
	defer poll.Stop()
	// Events of other files in the directory may concern this one, as with
	// links, or not. They are looked into together.
	soon := time.NewTimer(0)
	soon.Stop()
	defer soon.Stop()
	pending := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
			look()
		case <-soon.C:
			pending = false
			look()
		case ev, ok := <-w.Events:
			if !ok {
				return
			}
			if watched.names(ev.Name) && ev.Op != fsnotify.Chmod {
				hinted = ""
				changed()
			}
			if !pending {
				pending = true
				soon.Reset(s.debounce / 2)
			}
		case err := <-w.Errors:
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				changed()
				continue
			}
			s.log.Warn("cannot watch the enrichment source as it should be", "source", s.path, "error", err)
		}
	}
}

// watchedDirs are the directories that one source watches.
type watchedDirs struct {
	watcher *fsnotify.Watcher
	broken  bool

	path, real       string // of the file
	pathDir, realDir string // watched now; "" if not
}

// update watches the directories that matter now. It is cheap when nothing
// has changed, and brings back the watch of a directory that was made anew.
func (d *watchedDirs) update(s *fileSource) {
	if d.broken {
		return
	}
	d.path = s.path
	// Watching what is watched already does nothing; what cannot be watched
	// now is tried again at the next look.
	d.pathDir = filepath.Dir(s.path)
	_ = d.watcher.Add(d.pathDir)

	real, err := filepath.EvalSymlinks(s.path)
	if err != nil {
		return
	}
	before := d.realDir
	d.real, d.realDir = real, filepath.Dir(real)
	_ = d.watcher.Add(d.realDir)
	if before != "" && before != d.realDir && before != d.pathDir {
		_ = d.watcher.Remove(before)
	}
}

// names reports whether an event's name is that of the file.
func (d *watchedDirs) names(name string) bool {
	name = filepath.Clean(name)
	return name == d.path || name == d.real
}
