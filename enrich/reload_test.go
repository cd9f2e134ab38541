package enrich

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/enrich/row"
	"github.com/penstock-io/penstock/enrich/source/file"
	"github.com/penstock-io/penstock/ingest/event"
)

const north = "device,site\na,north\nb,north\n"

func reloads(result string) string {
	return fmt.Sprintf(`penstock_enrich_reloads_total{result=%q}`, result)
}

func TestReplaceByRename(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "d.csv"), north)
	f := open(t, testConfig(path))
	f.wantMetric("penstock_enrich_devices", "2")
	f.wantMetric("penstock_enrich_table_version", "1")
	f.wantMetric("penstock_enrich_last_reload_success", "1")
	for i, site := range []string{"south", "east", "west"} {
		replace(t, path, "device,site\na,"+site+"\nb,x\nc,x\n")
		f.site("a", site)
		if got := f.Version(); got != uint64(i+2) {
			t.Errorf("version %d after %d reloads", got, i+1)
		}
	}
	f.eventually("three reloads are counted", func() bool { return f.metric(reloads("ok")) == "3" })
	f.wantMetric("penstock_enrich_devices", "3")
	f.wantMetric("penstock_enrich_table_version", "4")
	if s := f.Status(); s.Devices != 3 || s.Version != 4 || s.LastError != "" || s.Sources[0].Rows != 3 {
		t.Errorf("status %+v", s)
	}
}

// An editor such as vim moves the old file away before it writes the new one.
func TestReplaceByEditor(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "d.csv"), north)
	f := open(t, testConfig(path))
	if err := os.Rename(path, path+"~"); err != nil {
		t.Fatal(err)
	}
	write(t, path, "device,site\na,south\nb,x\n")
	f.site("a", "south")
	f.wantMetric(reloads("error"), "0")
}

// A file that is written slowly is loaded when it is whole. What is seen of
// it before makes a table, too: one with a wrong label.
func TestHalfWritten(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "d.csv"), north)
	cfg := testConfig(path)
	cfg.Debounce = 100 * time.Millisecond
	f := open(t, cfg)

	out, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	for _, part := range []string{"devi", "ce,site\na,so"} {
		seen := strings.Count(f.log.String(), "may be half written")
		if _, err := out.WriteString(part); err != nil {
			t.Fatal(err)
		}
		f.eventually("the half file is looked at", func() bool {
			return strings.Count(f.log.String(), "may be half written") > seen
		})
		if f.Version() != 1 || value(f.Table, "a", "site") != "north" {
			t.Fatalf("version %d, site %q after %q", f.Version(), value(f.Table, "a", "site"), part)
		}
	}
	if _, err := out.WriteString("uth\nb,south\n"); err != nil {
		t.Fatal(err)
	}
	f.site("a", "south")
	if f.Version() != 2 {
		t.Errorf("version %d, want 2", f.Version())
	}
	f.wantMetric(reloads("error"), "0")
	f.wantMetric(reloads("refused"), "0")
}

// A last line without its newline is one when nobody writes on.
func TestNoLastNewline(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "d.csv"), north)
	f := open(t, testConfig(path))
	write(t, path, "device,site\na,x\nb,south")
	f.site("b", "south")
}

func TestVanishAndComeBack(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "d.csv"), north)
	f := open(t, testConfig(path))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	f.eventually("the failure is counted", func() bool { return f.metric(reloads("error")) == "1" })
	f.wantMetric("penstock_enrich_last_reload_success", "0")
	f.wantMetric("penstock_enrich_table_version", "1")
	if !f.log.contains("the old one stays") || !f.log.contains(path) {
		t.Errorf("log:\n%s", f.log)
	}
	if s := f.Status(); !strings.Contains(s.LastError, "no such file") || s.Devices != 2 {
		t.Errorf("status %+v", s)
	}
	f.site("a", "north")

	write(t, path, north)
	f.eventually("the file is seen", func() bool { return f.metric(reloads("unchanged")) == "1" })
	f.wantMetric("penstock_enrich_last_reload_success", "1")
	f.wantMetric("penstock_enrich_table_version", "1")

	write(t, path, "device,site\na,south\nb,x\n")
	f.site("a", "south")
}

func TestDirectoryMadeAnew(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "sub")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := write(t, filepath.Join(dir, "d.csv"), north)
	cfg := testConfig(path)
	cfg.PollInterval = 20 * time.Millisecond
	f := open(t, cfg)
	for _, site := range []string{"south", "west"} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		f.eventually("the loss is seen", func() bool { return f.metric("penstock_enrich_last_reload_success") == "0" })
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, path, "device,site\na,"+site+"\nb,x\n")
		f.site("a", site)
	}
}

// inotify says nothing when a directory above the watched one is exchanged.
func TestPoll(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, dir := range []string{"one", "second"} {
		if err := os.MkdirAll(filepath.Join(root, dir, "sub"), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(root, dir, "sub", "d.csv"), "device,site\na,"+dir+"\n")
	}
	cfg := testConfig(filepath.Join(root, "one", "sub", "d.csv"))
	cfg.PollInterval = 20 * time.Millisecond
	f := open(t, cfg)
	f.site("a", "one")
	if err := os.Rename(filepath.Join(root, "one"), filepath.Join(root, "three")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(root, "second"), filepath.Join(root, "one")); err != nil {
		t.Fatal(err)
	}
	f.site("a", "second")
}

// Kubernetes mounts a config map as d.csv -> ..data/d.csv with ..data -> a
// directory, and renames a new link over ..data.
func TestSymlinkSwap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	version := func(name, site string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name, "d.csv"), "device,site\na,"+site+"\n")
		if err := os.Symlink(name, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..v1", "v1")
	path := filepath.Join(dir, "d.csv")
	if err := os.Symlink(filepath.Join("..data", "d.csv"), path); err != nil {
		t.Fatal(err)
	}
	f := open(t, testConfig(path))
	for _, v := range []string{"v2", "v3", "v4"} {
		version(".."+v, v)
		f.site("a", v)
	}
	// The target is watched as well, wherever it is now.
	write(t, filepath.Join(dir, "..v4", "d.csv"), "device,site\na,in place\n")
	f.site("a", "in place")
}

// A link may lead into a directory of its own, whose files change.
func TestSymlinkTarget(t *testing.T) {
	t.Parallel()
	target := write(t, filepath.Join(t.TempDir(), "real.csv"), north)
	path := filepath.Join(t.TempDir(), "d.csv")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	f := open(t, testConfig(path))
	replace(t, target, "device,site\na,south\nb,x\n")
	f.site("a", "south")
	write(t, target, "device,site\na,west\nb,x\n")
	f.site("a", "west")
}

// What is written between New and Run is not lost.
func TestChangeBeforeRun(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "d.csv"), north)
	f := load(t, testConfig(path))
	write(t, path, "device,site\na,south or so\nb,x\n")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	f.site("a", "south or so")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestShrink(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "d.csv"), "device,site\na,north\nb,north\nc,north\nd,north\n")
	f := open(t, testConfig(path))

	// Half of the devices may go.
	write(t, path, north)
	f.eventually("two devices are left", func() bool { return f.Len() == 2 })

	write(t, path, "device,site\n")
	f.eventually("the empty table is refused", func() bool { return f.metric(reloads("refused")) == "1" })
	f.wantMetric("penstock_enrich_last_reload_success", "0")
	f.wantMetric("penstock_enrich_devices", "2")
	if !f.log.contains("new enrichment table refused, the old one stays") || !f.log.contains("0 devices, the old one 2") {
		t.Errorf("log:\n%s", f.log)
	}

	// Asked for again, the same table is taken.
	if err := f.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	f.wantMetric("penstock_enrich_devices", "0")
	f.wantMetric("penstock_enrich_last_reload_success", "1")

	// From nothing, anything is growth.
	write(t, path, "device,site\na,south\n")
	f.site("a", "south")
}

// Only what has been refused can be asked for again.
func TestShrinkAskedOnce(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "d.csv"), north)
	f := load(t, testConfig(path))
	var refused *shrinkError
	for i, text := range []string{"device,site\n", "device,site,x\n", "device,site,xx\n"} {
		write(t, path, text)
		if err := f.Reload(t.Context()); !errors.As(err, &refused) {
			t.Fatalf("state %d: %v", i, err)
		}
	}
	f.wantMetric(reloads("refused"), "3")
	// A reload that succeeds forgets the refusal.
	write(t, path, north)
	if err := f.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, path, "device,site,xx\n")
	if err := f.Reload(t.Context()); !errors.As(err, &refused) {
		t.Fatal(err)
	}
	if f.Len() != 2 {
		t.Errorf("%d devices", f.Len())
	}
}

func TestMaxShrink(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		share       float64
		left        int
		wantRefused bool
	}{
		{0, 10, false}, {0, 9, true}, {0.1, 9, false}, {0.1, 8, true}, {0.5, 5, false}, {0.5, 4, true}, {1, 0, false},
	} {
		rows := "device\n0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"
		path := write(t, filepath.Join(t.TempDir(), "d.csv"), rows)
		cfg := testConfig(path)
		cfg.MaxShrink = test.share
		f := load(t, cfg)
		write(t, path, rows[:len("device\n")+2*test.left])
		if err := f.Reload(t.Context()); (err != nil) != test.wantRefused {
			t.Errorf("max_shrink %g with %d of 10 left: %v", test.share, test.left, err)
		}
	}
}

func TestBadTableRefused(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "d.csv"), north)
	f := open(t, testConfig(path))
	write(t, path, "device,site,9x\na,south,1\nb,south,1\n")
	f.eventually("the failure is counted", func() bool { return f.metric(reloads("error")) == "1" })
	if want := `d.csv:1: column 3: label name`; !strings.Contains(f.Status().LastError, want) || !f.log.contains(want) {
		t.Errorf("status %+v, log:\n%s", f.Status(), f.log)
	}
	f.site("a", "north")
	f.wantMetric("penstock_enrich_table_version", "1")

	write(t, path, "device,site,x9\na,south,1\nb,south,1\n")
	f.site("a", "south")
	f.eventually("success", func() bool { return f.metric("penstock_enrich_last_reload_success") == "1" })
}

// A file that says the same in other words makes no new version.
func TestUnchanged(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "d.csv"), north)
	f := open(t, testConfig(path))
	replace(t, path, "site,device,floor\nnorth,b,\nnorth,a,\n")
	f.eventually("the rewrite is seen", func() bool { return f.metric(reloads("unchanged")) == "1" })
	f.wantMetric("penstock_enrich_table_version", "1")
	f.wantMetric(reloads("ok"), "0")
	if s := f.Status(); !s.CheckedAt.After(s.LoadedAt) {
		t.Errorf("status %+v", s)
	}
}

// Another file in the directory is nobody's business.
func TestOtherFiles(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "d.csv"), north)
	cfg := testConfig(path)
	s, err := newSource(Source{Path: path}, &cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.load(t.Context(), newBuilder(t.Context(), &cfg, nil)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls := make(chan struct{}, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.watch(ctx, func() { calls <- struct{}{} })
	}()
	for i := range 100 {
		write(t, filepath.Join(filepath.Dir(path), fmt.Sprint("other", i)), "x")
	}
	replace(t, path, "device,site\na,south\nb,x\n")
	select {
	case <-calls:
	case <-time.After(10 * time.Second):
		t.Error("the change was not seen")
	}
	cancel()
	<-done
	// The file's own event is one call, and a look at it may be two more. The
	// other files have 200 events, all of them before.
	if len(calls) > 2 {
		t.Errorf("changed was called %d times", len(calls)+1)
	}
}

// fakeSource says what its function says.
type fakeSource struct {
	next func(ctx context.Context, emit func(row.Row) error) (loaded, error)
}

func (s *fakeSource) String() string { return "fake" }
func (s *fakeSource) title() string  { return "fake" }
func (s *fakeSource) load(ctx context.Context, b *builder) (loaded, error) {
	return s.next(ctx, b.add)
}
func (s *fakeSource) watch(ctx context.Context, _ func()) { <-ctx.Done() }

func one(site string) func(context.Context, func(row.Row) error) (loaded, error) {
	return func(_ context.Context, emit func(row.Row) error) (loaded, error) {
		return loaded{}, emit(row.Row{Device: "a", Labels: []event.Label{{Name: "site", Value: site}}})
	}
}

func fake(t *testing.T, next func(context.Context, func(row.Row) error) (loaded, error)) (*fixture, *fakeSource) {
	t.Helper()
	f := &fixture{t: t, set: metrics.NewSet(), log: &logBuffer{}}
	s := &fakeSource{next: next}
	cfg := testConfig()
	cfg.Debounce = time.Millisecond
	var err error
	if f.Table, err = newTable(cfg, []source{s}, slog.New(slog.NewTextHandler(f.log, nil)), f.set); err != nil {
		t.Fatal(err)
	}
	return f, s
}

// A source that changes while it is read is read again, within bounds, and
// nothing of the broken attempts is left.
func TestMovedWhileRead(t *testing.T) {
	t.Parallel()
	f, s := fake(t, one("north"))
	calls := 0
	s.next = func(_ context.Context, emit func(row.Row) error) (loaded, error) {
		calls++
		if calls < 3 {
			_ = emit(row.Row{Device: "gone"})
			_ = emit(row.Row{Fault: "half a row"})
			return loaded{}, fmt.Errorf("fake: %w", file.ErrMoved)
		}
		return one("south")(t.Context(), emit)
	}
	if err := f.Reload(t.Context()); err != nil || calls != 3 || f.Len() != 1 || value(f.Table, "a", "site") != "south" {
		t.Errorf("%v after %d calls, %v", err, calls, dump(f.Table))
	}
	calls = -1000
	if err := f.Reload(t.Context()); !errors.Is(err, file.ErrMoved) || calls != -1000+maxMoves {
		t.Errorf("%v after %d calls", err, calls+1000)
	}
	if f.Version() != 2 {
		t.Errorf("version %d", f.Version())
	}
}

// A caller that gives up learns it; it says nothing about the sources.
func TestReloadCancelled(t *testing.T) {
	t.Parallel()
	f, s := fake(t, one("north"))
	ctx, cancel := context.WithCancel(t.Context())
	entered := make(chan struct{})
	s.next = func(ctx context.Context, _ func(row.Row) error) (loaded, error) {
		close(entered)
		<-ctx.Done()
		return loaded{}, ctx.Err()
	}
	done := make(chan error, 1)
	go func() { done <- f.Reload(ctx) }()
	<-entered

	waiting, stop := context.WithCancel(t.Context())
	stop()
	if err := f.Reload(waiting); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "another reload is running") {
		t.Errorf("a second reload: %v", err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	f.wantMetric(reloads("error"), "0")
	f.wantMetric("penstock_enrich_last_reload_success", "1")
}

// A batch is enriched by one version, whatever happens meanwhile.
func TestEnrichWhileReloading(t *testing.T) {
	t.Parallel()
	devices := make([]string, 50)
	for i := range devices {
		devices[i] = fmt.Sprint("d", i)
	}
	version := 0
	all := func(_ context.Context, emit func(row.Row) error) (loaded, error) {
		version++
		for _, d := range devices {
			if err := emit(row.Row{Device: d, Labels: []event.Label{{Name: "v", Value: fmt.Sprint(version)}, {Name: "d", Value: d}}}); err != nil {
				return loaded{}, err
			}
		}
		return loaded{}, nil
	}
	f, _ := fake(t, all)
	stop := make(chan struct{})
	faults := make(chan string, 4)
	for range cap(faults) {
		go func() {
			b := newBatch(devices)
			last := 0
			for {
				select {
				case <-stop:
					faults <- ""
					return
				default:
				}
				f.Enrich(b)
				first := 0
				for i := range b.Events {
					e := &b.Events[i]
					var v int
					if n, err := fmt.Sscan(e.Labels.All()[1].Value, &v); n != 1 || err != nil || e.Labels.All()[0].Value != e.Device {
						faults <- fmt.Sprintf("event %d has %v", i, e.Labels.All())
						return
					}
					if i == 0 {
						first = v
					}
					if v != first || v < last {
						faults <- fmt.Sprintf("event %d is of version %d, the first one of %d, the batch before of %d", i, v, first, last)
						return
					}
				}
				last = first
				if labels, ok := f.Lookup("d0"); !ok || labels.Len() != 2 {
					faults <- "d0 is not there"
					return
				}
				_ = f.Status()
			}
		}()
	}
	for range 300 {
		if err := f.Reload(t.Context()); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	for range cap(faults) {
		if fault := <-faults; fault != "" {
			t.Error(fault)
		}
	}
	if f.Version() != 301 {
		t.Errorf("version %d", f.Version())
	}
}
