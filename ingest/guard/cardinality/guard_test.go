package cardinality

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/settings"
)

// A fleet that puts a counter into a tag is told which one.
func TestCounterInATag(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limit           func(*Config)
		device          func(i int) string
		pointer, detail string
	}{
		"device": {func(c *Config) { c.PerDevice = 100 }, func(int) string { return "pump-1" },
			"/tags/count", `device "pump-1" may have 100 active series (guard.cardinality.per_device), and the event would begin 1 more; tag "count" grows most, by about `},
		"tenant": {func(c *Config) { c.PerTenant = 100 }, func(i int) string { return fmt.Sprint("pump-", i%10) },
			"/tags/count", `tenant "acme" may have 100 active series (guard.cardinality.per_tenant), and the event would begin 1 more; tag "count" grows most, by about `},
		"metric": {func(c *Config) { c.PerMetric = 100 }, func(i int) string { return fmt.Sprint("pump-", i%10) },
			"/tags/count", `metric "rpm" may have 100 active series (guard.cardinality.per_metric), and the event would begin 1 more; tag "count" grows most, by about `},
		"small limit": {func(c *Config) { c.PerDevice = 8 }, func(int) string { return "pump-1" },
			"/tags/count", `tag "count" grows most`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := DefaultConfig()
			c.limit(&cfg)
			g := openAnew(t, cfg)
			send := func(i int) *event.Rejection {
				return screen(t, g, reading{"acme", c.device(i), []string{"rpm"},
					[]string{"fw=" + fmt.Sprint(i%3), fmt.Sprintf("count=%d", i), "site=a"}})
			}
			refused := 0
			for i := range 200 {
				r := send(i)
				if r == nil {
					continue
				}
				refused++
				if refused < 5 {
					continue
				}
				if r.Pointer != c.pointer || !strings.Contains(r.Detail, c.detail) {
					t.Fatalf("%s: %s\nwant %s: %s", r.Pointer, r.Detail, c.pointer, c.detail)
				}
			}
			if refused != 200-max(cfg.PerDevice, cfg.PerTenant, cfg.PerMetric) {
				t.Errorf("%d refused", refused)
			}
			for i := range 8 {
				if r := send(i); r != nil {
					t.Errorf("a known series is refused: %+v", r)
				}
			}
		})
	}
}

// Devices whose names never come again are named as what grows.
func TestDeviceInsteadOfTag(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.PerTenant = 100
	g := openAnew(t, cfg)
	var last *event.Rejection
	for i := range 120 {
		last = screen(t, g, reading{"", fmt.Sprint("run-", i), []string{"rpm"}, []string{"fw=1"}})
	}
	if last == nil || last.Pointer != "/device" || !strings.Contains(last.Detail, "the device's name grows most") {
		t.Errorf("%+v", last)
	}
}

// An event is let in whole or not at all.
func TestAllFieldsOrNone(t *testing.T) {
	t.Parallel()
	g := openAnew(t, config()) // ten per device
	if r := screen(t, g, reading{"", "d", []string{"a", "b", "c", "d", "e", "f", "g", "h"}, nil}); r != nil {
		t.Fatal(r)
	}
	if r := screen(t, g, reading{"", "d", []string{"a", "x", "y", "z"}, nil}); r == nil || r.Pointer != "/values/x" {
		t.Fatalf("%+v", r)
	}
	if r := screen(t, g, reading{"", "d", []string{"x", "y"}, nil}); r != nil {
		t.Errorf("what was rejected has been charged: %+v", r)
	}
	if r := screen(t, g, reading{"", "e", []string{"x", "y"}, nil}); r != nil {
		t.Errorf("a neighbour pays: %+v", r)
	}
}

// One tenant's devices and metrics are not another's, though they have the
// same names.
func TestTenantsAreApart(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.PerDevice, cfg.PerTenant, cfg.PerMetric = 5, 5, 5
	g := openAnew(t, cfg)
	for _, tenant := range []string{"a", "b", ""} {
		for i := range 7 {
			r := screen(t, g, reading{tenant, "pump", []string{"rpm"}, []string{fmt.Sprint("n=", i), "tenant=" + tenant}})
			if (r != nil) != (i >= 5) {
				t.Errorf("tenant %q, series %d: %+v", tenant, i, r)
			}
		}
	}
}

// Rejections stand in the order of the request, and the good events remain in
// theirs.
func TestBatch(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.PerDevice = 2
	g := openAnew(t, cfg)
	b := pool.Get(0)
	defer b.Release()
	for i := range 10 {
		if i == 7 {
			b.AddField("x", 1)
			b.Reject(7, event.ValueRange)
			b.Total++
			continue
		}
		reading{"", fmt.Sprint("d", i%2), []string{fmt.Sprint("f", i)}, nil}.add(b)
	}
	if err := g.Screen(b); err != nil {
		t.Fatal(err)
	}
	var kept, rejected []int
	for i := range b.Events {
		kept = append(kept, int(b.Events[i].Index))
	}
	for _, r := range b.Rejections {
		rejected = append(rejected, r.Index)
	}
	if fmt.Sprint(kept, rejected) != "[0 1 2 3] [4 5 6 7 8 9]" {
		t.Errorf("kept %v, rejected %v", kept, rejected)
	}
}

// Nothing that is known is ever refused while others begin series, tables
// grow, generations turn and snapshots are written.
func TestKnownSeriesPassMeanwhile(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.PerDevice, cfg.MaxSeries = 50, 20_000
	g := openAnew(t, cfg)
	const devices, senders = 400, 4
	for i := range devices {
		if r := screen(t, g, reading{"", fmt.Sprint("d", i), []string{"a", "b"}, []string{"fw=1"}}); r != nil {
			t.Fatal(r)
		}
	}
	var stop atomic.Bool
	var rounds [senders]atomic.Uint64 // whole rounds of each sender
	var running sync.WaitGroup
	for s := range senders {
		running.Go(func() {
			for !stop.Load() {
				for i := s; i < devices; i += senders {
					if r := screen(t, g, reading{"", fmt.Sprint("d", i), []string{"a", "b"}, []string{"fw=1"}}); r != nil {
						t.Errorf("known, and refused: %+v", r)
						stop.Store(true)
						return
					}
				}
				rounds[s].Add(1)
			}
		})
	}
	for n := range 2 { // begin new ones all the time, far beyond the limits
		running.Go(func() {
			for i := 0; !stop.Load(); i++ {
				screen(t, g, reading{"", fmt.Sprint("other", n, i/100), []string{"a"}, []string{fmt.Sprint("n=", i)}})
			}
		})
	}
	now := epoch
	for turn := 0; turn < 12 && !stop.Load(); turn++ {
		now = now.Add(cfg.Window)
		g.advance(now)
		if turn%4 == 0 {
			if err := g.snapshot(now); err != nil {
				t.Error(err)
			}
		}
		// Each known series has to be seen in each generation.
		for s := range rounds {
			for from := rounds[s].Load(); rounds[s].Load() < from+2 && !stop.Load(); {
				runtime.Gosched()
			}
		}
	}
	stop.Store(true)
	running.Wait()
}

// A series counts for a window after its last event, and no longer than two.
func TestRollingWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.PerDevice = 1
		now := time.Now() // 2000-01-01 00:00:00
		g := open(t, cfg, filepath.Join(t.TempDir(), "snapshot"), now)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- g.Run(ctx) }()
		one := reading{"", "d", []string{"one"}, nil}
		two := reading{"", "d", []string{"two"}, nil}
		expect := func(r reading, passes bool) {
			t.Helper()
			if got := screen(t, g, r); (got == nil) != passes {
				t.Errorf("after %s, %v: %+v", time.Since(now), r.fields, got)
			}
		}
		time.Sleep(30 * time.Minute)
		expect(one, true)
		time.Sleep(60 * time.Minute) // 1:30
		expect(two, false)
		time.Sleep(31 * time.Minute) // 2:01, two generations after the one of 0:30
		expect(two, true)
		expect(one, false)
		for range 10 { // it goes on as long as it is sent
			time.Sleep(61 * time.Minute)
			expect(two, true)
			expect(one, false)
		}
		time.Sleep(2*time.Hour + time.Minute)
		expect(one, true)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestRestart(t *testing.T) {
	t.Parallel()
	cfg := config()
	path := filepath.Join(t.TempDir(), "guard", "snapshot")
	g := open(t, cfg, path, epoch)
	many := func(g *Guard, from int) (passed int) {
		for i := range 50 {
			if screen(t, g, reading{"", "d", []string{"f"}, []string{fmt.Sprint("n=", from+i)}}) == nil {
				passed++
			}
		}
		return passed
	}
	if n := many(g, 0); n != 10 {
		t.Fatalf("%d passed", n)
	}
	if err := g.snapshot(epoch); err != nil {
		t.Fatal(err)
	}
	if n := many(open(t, cfg, path, epoch.Add(time.Minute)), 1000); n != 0 {
		t.Errorf("after a restart %d new series passed", n)
	}
	if n := many(open(t, cfg, path, epoch.Add(time.Hour)), 0); n != 10 {
		t.Errorf("after a restart an hour later %d known series passed, want 10", n)
	}
	if n := many(open(t, cfg, path, epoch.Add(2*time.Hour)), 1000); n != 10 {
		t.Errorf("after a restart two hours later %d new series passed, want 10", n)
	}

	// Other settings: the limits are the new ones, what is known stays known.
	cfg.PerDevice, cfg.Window = 12, 30*time.Minute
	g = open(t, cfg, path, epoch.Add(time.Minute))
	if n := many(g, 0); n != 12 {
		t.Errorf("with a higher limit %d passed, want the 10 that are known and 2", n)
	}
}

// What began after the last snapshot is new to the guard after a crash, and
// that is all that slips in.
func TestCrash(t *testing.T) {
	t.Parallel()
	cfg := config() // ten per device
	path := filepath.Join(t.TempDir(), "snapshot")
	g := open(t, cfg, path, epoch)
	begin := func(g *Guard, from, n int) (passed int) {
		for i := range n {
			if screen(t, g, reading{"", "d", []string{"f"}, []string{fmt.Sprint("n=", from+i)}}) == nil {
				passed++
			}
		}
		return passed
	}
	begin(g, 0, 6)
	if err := g.snapshot(epoch); err != nil {
		t.Fatal(err)
	}
	begin(g, 6, 4) // since the snapshot
	g = open(t, cfg, path, epoch)
	if n := begin(g, 1000, 50); n != 4 {
		t.Errorf("%d more than the limit slipped in, want the 4 that began since the snapshot", n)
	}
	if n := begin(g, 0, 6); n != 6 {
		t.Errorf("%d of 6 known series passed", n)
	}
}

// A snapshot that is damaged in any place is not believed, and does no harm.
func TestDamagedSnapshot(t *testing.T) {
	t.Parallel()
	cfg := config()
	path := filepath.Join(t.TempDir(), "snapshot")
	g := open(t, cfg, path, epoch)
	for i := range 20 {
		screen(t, g, reading{"t", fmt.Sprint("d", i), []string{"a", "b"}, nil})
	}
	if err := g.snapshot(epoch); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		g, err := New(cfg, path, epoch, slog.New(slog.NewTextHandler(&log, nil)), metrics.NewSet())
		if err != nil {
			t.Fatal(err)
		}
		if g.series != 0 || len(g.devices.list) != 0 || !strings.Contains(log.String(), "cannot read the snapshot") {
			t.Errorf("%s: %d series, log: %s", what, g.series, log.String())
		}
		if r := screen(t, g, reading{"", "d", []string{"a"}, nil}); r != nil {
			t.Errorf("%s: %+v", what, r)
		}
	}
	for i := 0; i < len(whole); i += 7 {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x41
		try(fmt.Sprintf("byte %d", i), damaged)
		// With a checksum that fits again only what makes no sense is found;
		// nothing may panic.
		binary.LittleEndian.PutUint32(damaged[len(damaged)-4:], crc32.Checksum(damaged[:len(damaged)-4], castagnoli))
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		screen(t, open(t, cfg, path, epoch), reading{"", "d", []string{"a"}, nil})
	}
	for _, n := range []int{0, 1, len(whole) / 2, len(whole) - 1} {
		try(fmt.Sprintf("the first %d bytes", n), whole[:n])
	}
}

// A snapshot that cannot be written is an error, and the guard goes on.
func TestSnapshotCannotBeWritten(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	g := open(t, config(), filepath.Join(file+"s", "snapshot"), epoch)
	g.path = filepath.Join(file, "snapshot")
	if err := g.snapshot(epoch); err == nil || g.stats.snapshotErrors.Get() != 1 {
		t.Errorf("%v", err)
	}
	if r := screen(t, g, reading{"", "d", []string{"a"}, nil}); r != nil {
		t.Error(r)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.PerDevice = 100
	g := openAnew(t, cfg)
	for i := range 200 {
		screen(t, g, reading{"acme", "bad", []string{"rpm"}, []string{fmt.Sprint("n=", i), "fw=1"}})
	}
	for i := range 50 {
		screen(t, g, reading{"acme", fmt.Sprint("good-", i), []string{"t", "u"}, []string{"fw=1"}})
	}
	r := g.Report(3, Devices, Metrics, Tags)
	if r.Series != 200 || r.Devices != 51 || r.Limits.Device != 100 {
		t.Errorf("%+v", r)
	}
	devices := r.Top["devices"]
	if len(devices) != 3 {
		t.Fatalf("%+v", devices)
	}
	if d := devices[0]; d.Name != "bad" || d.Tenant != "acme" || d.New != 100 || d.Refused != 100 || d.Active != 100 || d.Grows != "n" {
		t.Errorf("%+v", d)
	}
	if d := devices[1]; d.Name != "good-0" || d.New != 2 {
		t.Errorf("%+v", d)
	}
	if m := r.Top["metrics"]; len(m) != 3 || m[0].Name != "rpm" || m[0].New != 100 || m[0].Grows != "n" {
		t.Errorf("%+v", m)
	}
	if tags := r.Top["tags"]; len(tags) != 2 || tags[0].Name != "fw" || tags[0].New != 200 || tags[0].Values != 1 || tags[1].Name != "n" || tags[1].Values < 70 {
		t.Errorf("%+v", tags)
	}
	g.advance(epoch.Add(2 * time.Hour))
	if r := g.Report(3, Devices, Tags); len(r.Top["devices"]) != 0 || len(r.Top["tags"]) != 0 {
		t.Errorf("two hours later: %+v", r)
	}
}

func TestTagCountsAreBounded(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.PerDevice = 1_000_000
	g := openAnew(t, cfg)
	for i := range maxTags + 500 {
		screen(t, g, reading{"", "d", []string{"f"}, []string{fmt.Sprintf("t%d=1", i)}})
	}
	if len(g.tags) != maxTags || len(g.devices.list[0].tags.tags) != maxTracked {
		t.Errorf("%d tags in all, %d of the device", len(g.tags), len(g.devices.list[0].tags.tags))
	}
}

func TestSketch(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 10, 100, 1000, 100_000} {
		var s sketch
		for i := range n {
			for range 3 {
				s.add(valueHash(fmt.Sprint("value-", i)))
			}
		}
		if got := s.estimate(); got < 0.6*float64(n) || got > 1.5*float64(n) {
			t.Errorf("%d values are taken for %.1f", n, got)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	if err := settings.Validate(DefaultConfig()); err != nil || DefaultConfig().Enabled() {
		t.Error(err)
	}
	err := settings.Validate(Config{PerDevice: -1, PerTenant: -1, PerMetric: -1})
	for _, key := range []string{"per_device", "per_tenant", "per_metric", "window", "max_series", "snapshot_interval"} {
		if err == nil || !strings.Contains(err.Error(), key+": must be") {
			t.Errorf("%s is not named: %v", key, err)
		}
	}
}
