package enrich

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/enrich/row"
	"github.com/penstock-io/penstock/ingest/event"
)

// fakeOrigin is an origin in memory.
type fakeOrigin struct {
	mu      sync.Mutex
	rows    map[string]string // device -> site; "!" is a row with a fault
	away    error
	fetches int
	same    bool // answer row.ErrUnchanged

	changes chan []row.Row
}

func newFakeOrigin(rows ...string) *fakeOrigin {
	o := &fakeOrigin{rows: map[string]string{}, changes: make(chan []row.Row)}
	o.set(rows...)
	return o
}

// set takes "device=site" or "device-", and returns the changes that this is.
func (o *fakeOrigin) set(rows ...string) []row.Row {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []row.Row
	for _, r := range rows {
		if device, ok := strings.CutSuffix(r, "-"); ok {
			delete(o.rows, device)
			list = append(list, row.Row{Device: device, Gone: true})
			continue
		}
		device, site, _ := strings.Cut(r, "=")
		o.rows[device] = site
		list = append(list, fakeRow(device, site))
	}
	return list
}

func (o *fakeOrigin) setAway(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.away = err
}

func fakeRow(device, site string) row.Row {
	if site == "!" {
		return row.Row{Device: device, Fault: "device " + device + " is faulty"}
	}
	return row.Row{Device: device, Labels: []event.Label{{Name: "site", Value: site}}}
}

func (o *fakeOrigin) Identity() string { return "fake" }
func (o *fakeOrigin) Place() string    { return "nowhere" }
func (o *fakeOrigin) Confirm()         {}
func (o *fakeOrigin) Close()           {}
func (o *fakeOrigin) Connect(context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.away
}

func (o *fakeOrigin) Fetch(_ context.Context, emit func(row.Row) error) error {
	o.mu.Lock()
	rows := maps.Clone(o.rows)
	away, same := o.away, o.same
	o.fetches++
	o.mu.Unlock()
	if away != nil {
		return away
	}
	if same {
		return row.ErrUnchanged
	}
	for device, site := range rows {
		if err := emit(fakeRow(device, site)); err != nil {
			return err
		}
	}
	return nil
}

func (o *fakeOrigin) Follow(ctx context.Context, change func([]row.Row) error) error {
	for {
		select {
		case list := <-o.changes:
			if list == nil {
				return nil
			}
			if err := change(list); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// change changes rows and tells of it, and refetch has all rows fetched.
func (o *fakeOrigin) change(rows ...string) { o.changes <- o.set(rows...) }
func (o *fakeOrigin) refetch()              { o.changes <- nil }

// remoteTable returns a table over origins and files, in their order, with
// its data in dir. It is not watched yet.
func remoteTable(t *testing.T, dir string, edit func(*Config), sources ...any) (*fixture, error) {
	t.Helper()
	f := &fixture{t: t, set: metrics.NewSet(), log: &logBuffer{}, dir: dir}
	cfg := testConfig()
	cfg.Dir = dir
	cfg.StartTimeout = 5 * time.Second
	if edit != nil {
		edit(&cfg)
	}
	log := slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var list []source
	for i, x := range sources {
		switch x := x.(type) {
		case *fakeOrigin:
			list = append(list, newFetched(Source{Type: typeHTTP, Name: fmt.Sprintf("remote-%d", i)}, x, &cfg, log))
		case required:
			list = append(list, newFetched(Source{Type: typeHTTP, Name: fmt.Sprintf("remote-%d", i), Required: true}, x.fakeOrigin, &cfg, log))
		case string:
			s, err := newSource(Source{Path: x}, &cfg, log)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, s)
		}
	}
	var err error
	f.Table, err = newTable(cfg, list, log, f.set)
	return f, err
}

type required struct{ *fakeOrigin }

func mustRemoteTable(t *testing.T, dir string, edit func(*Config), sources ...any) *fixture {
	t.Helper()
	f, err := remoteTable(t, dir, edit, sources...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// watch runs the table until stop, or the end of the test.
func (f *fixture) watch() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f.Run(ctx); err != nil {
			f.t.Error(err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	f.t.Cleanup(stop)
	return stop
}

// One device's change goes into the table that is there.
func TestRemoteChanges(t *testing.T) {
	t.Parallel()
	o := newFakeOrigin("a=north", "b=north")
	f := mustRemoteTable(t, t.TempDir(), nil, o)
	f.wantMetric("penstock_enrich_table_version", "1")
	f.watch()
	f.eventually("Run has fetched", func() bool { o.mu.Lock(); defer o.mu.Unlock(); return o.fetches == 2 })
	before := f.current.Load().devices

	o.change("a=south", "c=east", "b-")
	f.site("a", "south")
	if got := dump(f.Table); !slices.Equal(got, []string{"a site=south", "c site=east"}) {
		t.Errorf("%q", got)
	}
	if f.current.Load().devices != before {
		t.Error("the table was built anew")
	}
	f.wantMetric("penstock_enrich_table_version", "2")
	f.wantMetric("penstock_enrich_changed_devices_total", "3")
	f.wantMetric(`penstock_enrich_source_version{source="remote-0"}`, "2")

	// What says nothing new changes nothing.
	o.change("a=south", "gone-")
	o.change("a=west")
	f.site("a", "west")
	f.wantMetric("penstock_enrich_table_version", "3")

	// A row with a fault leaves the device as it was, and its neighbours are
	// taken.
	o.change("a=!", "c=west")
	f.site("c", "west")
	f.site("a", "west")
	if s := f.Status().Sources[0]; !strings.Contains(s.LastError, "device a is faulty") || s.State != "ok" {
		t.Errorf("%+v", s)
	}
	// A fetch has all of it refused, and the table stays.
	o.refetch()
	f.eventually("the source is at fault", func() bool { return f.Status().Sources[0].State == "stale" })
	f.site("c", "west")
	f.wantMetric(`penstock_enrich_source_up{source="remote-0"}`, "0")
	o.set("a=mended", "c=mended")
	f.site("a", "mended")
	f.eventually("it is well", func() bool { return f.Status().Sources[0].LastError == "" })
}

// Sources are merged in their order, whichever changes.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := write(t, filepath.Join(dir, "1.csv"), "device,site,floor\na,file1,1\nb,file1,1\n")
	last := write(t, filepath.Join(dir, "3.csv"), "device,rack\na,r3\n")
	o := newFakeOrigin("a=remote")
	f := mustRemoteTable(t, dir, nil, first, o, last)
	f.watch()
	check := func(what string, want ...string) {
		t.Helper()
		f.eventually(fmt.Sprintf("%s: %q", what, want), func() bool { return slices.Equal(dump(f.Table), want) })
	}
	check("at first", "a floor=1 rack=r3 site=remote", "b floor=1 site=file1")
	o.change("a-", "b=remote")
	check("the remote rows change", "a floor=1 rack=r3 site=file1", "b floor=1 site=remote")
	replace(t, last, "device,rack,site\na,r4,file3\nb,,file3\n")
	check("the last file changes", "a floor=1 rack=r4 site=file3", "b floor=1 site=file3")
	// What is hidden now shows later.
	replace(t, first, "device,site,floor\na,file1,2\nb,hidden,2\n")
	check("the first file changes", "a floor=2 rack=r4 site=file3", "b floor=2 site=file3")
	o.change("b=hidden-too")
	if err := f.SetOverride("b", []event.Label{{Name: "site", Value: "override"}, {Name: "x", Value: "1"}}); err != nil {
		t.Fatal(err)
	}
	check("an override", "a floor=2 rack=r4 site=file3", "b floor=2 site=override x=1")
	replace(t, last, "device,rack\na,r5\nb,\n")
	check("the last file again", "a floor=2 rack=r5 site=file1", "b floor=2 site=override x=1")
	if _, err := f.RemoveOverride("b"); err != nil {
		t.Fatal(err)
	}
	check("no override", "a floor=2 rack=r5 site=file1", "b floor=2 site=hidden-too")
	o.change("b-")
	check("no remote row", "a floor=2 rack=r5 site=file1", "b floor=2 site=hidden")

	d := f.Explain("a")
	var from []string
	for _, l := range d.Labels {
		from = append(from, l.Name+"<"+filepath.Base(l.Source))
	}
	if !d.Known || strings.Join(from, " ") != "floor<1.csv rack<3.csv site<1.csv" {
		t.Errorf("%+v", d)
	}
}

// A change of a hidden label makes no version, and shows when it is not
// hidden any more.
func TestHiddenChangeOfAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "1.csv"), "device,site\na,file\n")
	o := newFakeOrigin("a=remote")
	f := mustRemoteTable(t, dir, nil, path, o)
	f.watch()
	replace(t, path, "device,site\na,changed\n")
	f.eventually("the file is read", func() bool { return f.metric(reloads("unchanged")) == "1" })
	f.wantMetric("penstock_enrich_table_version", "1")
	o.change("a-")
	f.site("a", "changed")
}

// A restart while the origin is away loses nothing.
func TestRemoteCopy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := newFakeOrigin("a=north", "b=north")
	f := mustRemoteTable(t, dir, nil, o)
	stop := f.watch()
	o.change("a=south", "b-", "c=new")
	f.site("a", "south")
	stop()

	o.setAway(errors.New("no route to host"))
	file, old := filepath.Join(dir, "source-remote-0.ndjson"), time.Now().Add(-time.Hour)
	if err := os.Chtimes(file, old, old); err != nil {
		t.Fatal(err)
	}
	f = mustRemoteTable(t, dir, nil, required{o})
	f.watch()()
	if info, err := os.Stat(file); err != nil || info.ModTime().Sub(old).Abs() > time.Minute {
		t.Errorf("the copy was written again without need: %v, %v", info.ModTime(), err)
	}
	f = mustRemoteTable(t, dir, nil, required{o})
	if got := dump(f.Table); !slices.Equal(got, []string{"a site=south", "c site=new"}) {
		t.Errorf("%q", got)
	}
	s := f.Status().Sources[0]
	if s.State != "copy" || s.LastError != "no route to host" || s.Rows != 2 || s.AgeSeconds == nil || *s.AgeSeconds < 3000 {
		t.Errorf("%+v", s)
	}
	f.wantMetric(`penstock_enrich_source_up{source="remote-0"}`, "0")
	if !f.log.contains("goes on with the copy of its last rows") {
		t.Errorf("log:\n%s", f.log)
	}
	stop = f.watch()
	o.set("a=back")
	o.setAway(nil)
	f.site("a", "back")
	f.eventually("the source is well", func() bool { return f.Status().Sources[0].State == "ok" })
	stop()

	// One that is there is read at the start, after the copy.
	o.set("a=newer")
	f = mustRemoteTable(t, dir, nil, o)
	if value(f.Table, "a", "site") != "newer" || f.Version() != 2 {
		t.Errorf("site %q, version %d", value(f.Table, "a", "site"), f.Version())
	}
}

// What is refused for its loss of devices is not kept either.
func TestRemoteShrink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := newFakeOrigin("a=1", "b=1", "c=1", "d=1")
	f := mustRemoteTable(t, dir, nil, o)
	stop := f.watch()
	o.set("b-", "c-", "d-")
	o.refetch()
	f.eventually("the table is refused", func() bool { return f.metric(reloads("refused")) == "1" })
	if f.Len() != 4 {
		t.Errorf("%d devices", f.Len())
	}
	// What changes meanwhile shows in the table that stays.
	o.change("a=2")
	f.site("a", "2")
	if f.Len() != 4 {
		t.Errorf("%d devices", f.Len())
	}
	stop()

	// Neither at the next start, with the copy to compare with.
	f = mustRemoteTable(t, dir, nil, o)
	if f.Len() != 4 || f.metric(reloads("refused")) != "1" {
		t.Errorf("%d devices, refused %s", f.Len(), f.metric(reloads("refused")))
	}
	// Asked for, it is taken.
	if err := f.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.Len() != 1 {
		t.Errorf("%d devices", f.Len())
	}
	stop = f.watch()
	f.eventually("the copy is written", func() bool { return f.changes.file != nil && !f.sources[0].(*fetched).status().fromCopy })
	stop()
	o.setAway(errors.New("away"))
	if f = mustRemoteTable(t, dir, nil, o); f.Len() != 1 {
		t.Errorf("%d devices in the copy", f.Len())
	}
}

func TestRemoteAbsentAtStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := newFakeOrigin("a=north")
	o.setAway(errors.New("no route to host"))
	if _, err := remoteTable(t, dir, nil, required{o}); err == nil || !strings.Contains(err.Error(), "remote-0: is required, and there is no copy of earlier rows: no route to host") {
		t.Error(err)
	}
	f := mustRemoteTable(t, dir, nil, write(t, filepath.Join(dir, "1.csv"), "device,site\nb,file\n"), o)
	if s := f.Status().Sources[1]; s.State != "absent" || s.AgeSeconds != nil || f.Len() != 1 {
		t.Errorf("%+v, %d devices", s, f.Len())
	}
	f.watch()
	o.setAway(nil)
	f.site("a", "north")
}

// Rows that are fetched again and say the same swap nothing, and SIGHUP has
// them fetched.
func TestRemoteUnchanged(t *testing.T) {
	t.Parallel()
	o := newFakeOrigin("a=north")
	f := mustRemoteTable(t, t.TempDir(), nil, o)
	f.watch()
	fetches := func() int { o.mu.Lock(); defer o.mu.Unlock(); return o.fetches }
	f.eventually("the first fetch of Run", func() bool { return fetches() >= 2 })
	n := fetches()
	if err := f.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.eventually("one more fetch", func() bool { return fetches() > n })
	o.mu.Lock()
	o.same = true
	o.mu.Unlock()
	o.refetch()
	f.wantMetric("penstock_enrich_table_version", "1")
}

// A device that changes while a table is built, from rows that were read
// before, is as it is now in the new table.
func TestRemoteChangeWhileReloading(t *testing.T) {
	t.Parallel()
	o := newFakeOrigin("a=north", "b=north")
	f := mustRemoteTable(t, t.TempDir(), nil, o)
	f.watch()
	f.eventually("Run has fetched", func() bool { o.mu.Lock(); defer o.mu.Unlock(); return o.fetches == 2 })
	last := &fakeSource{next: func(_ context.Context, emit func(row.Row) error) (loaded, error) {
		o.change("a=south", "b-", "c=new")
		f.site("a", "south") // in the old table
		return loaded{}, emit(row.Row{Device: "d"})
	}}
	if err := f.lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.sources = append(f.sources, last)
	f.unlock()
	if err := f.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(dump(f.Table)); got != "[a site=south c site=new d]" {
		t.Error(got)
	}
}

// Whatever happens at the same time (reloads of a file, fetches, single
// changes, overrides, readers), in the end the table says what its sources
// say, and no reader sees labels that were never there.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const devices = 20
	file := func(n int) string {
		text := "device,site,file\n"
		for i := range devices {
			text += fmt.Sprintf("d%d,file-%d,%d\n", i, n, n)
		}
		return text
	}
	path := write(t, filepath.Join(dir, "1.csv"), file(0))
	o := newFakeOrigin("d0=remote-0")
	f := mustRemoteTable(t, dir, func(c *Config) { c.MaxShrink = 1; c.Debounce = time.Millisecond }, path, o)
	f.watch()

	// Each runs until all have run so often: none is alone for long.
	const rounds = 200
	var running sync.WaitGroup
	var behind atomic.Int64
	again := func(do func(r *rand.Rand, n int)) {
		behind.Add(1)
		running.Go(func() {
			r := rand.New(rand.NewPCG(1, 2))
			for n := 1; n <= rounds || behind.Load() > 0; n++ {
				do(r, n)
				if n == rounds {
					behind.Add(-1)
				}
			}
		})
	}
	again(func(_ *rand.Rand, n int) { replace(t, path, file(n)) })
	again(func(*rand.Rand, int) { _ = f.Reload(t.Context()) })
	again(func(r *rand.Rand, n int) {
		switch d := fmt.Sprintf("d%d", r.IntN(devices)); r.IntN(3) {
		case 0:
			o.change(d + "-")
		case 1:
			o.change(d + fmt.Sprintf("=remote-%d", n))
		default:
			o.set(d + fmt.Sprintf("=remote-%d", n))
			o.refetch()
		}
	})
	overrides := map[string]string{}
	again(func(r *rand.Rand, n int) {
		device, site := fmt.Sprintf("d%d", r.IntN(devices)), fmt.Sprintf("override-%d", n)
		if r.IntN(2) == 0 {
			delete(overrides, device)
			if _, err := f.RemoveOverride(device); err != nil {
				t.Error(err)
			}
			return
		}
		overrides[device] = site
		if err := f.SetOverride(device, []event.Label{{Name: "site", Value: site}}); err != nil {
			t.Error(err)
		}
		if got := value(f.Table, device, "site"); got != site {
			t.Errorf("the next event of %s gets %q, not %q", device, got, site)
		}
	})
	names := make([]string, devices)
	for i := range names {
		names[i] = fmt.Sprintf("d%d", i)
	}
	b := newBatch(names, "site", "own")
	again(func(*rand.Rand, int) {
		f.Enrich(b)
		for i := range b.Events {
			if l := b.Events[i].Labels; !l.Has("site") || !l.Has("file") {
				t.Errorf("%s has %v", b.Events[i].Device, l.All())
			}
		}
		_, _ = f.Status(), f.Explain("d1")
	})
	running.Wait()

	replace(t, path, file(-1))
	want := make([]string, 0, devices)
	for i := range devices {
		device, site := fmt.Sprintf("d%d", i), "file--1"
		if s, ok := o.rows[device]; ok {
			site = s
		}
		if s, ok := overrides[device]; ok {
			site = s
		}
		want = append(want, fmt.Sprintf("%s file=-1 site=%s", device, site))
	}
	slices.Sort(want)
	o.refetch()
	f.eventually(fmt.Sprintf("the table says what the sources say: %q", want), func() bool { return slices.Equal(dump(f.Table), want) })
}
