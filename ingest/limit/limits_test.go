package limit

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/settings"
)

func perDevice(events float64, burst time.Duration) Config {
	cfg := DefaultConfig()
	cfg.Device.EventsPerSecond, cfg.Burst = events, burst
	return cfg
}

func TestNothingIsLimitedByDefault(t *testing.T) {
	t.Parallel()
	l := newLimits(t, DefaultConfig())
	b := l.batch("acme", times(1000, "d")...)
	defer b.Release()
	if c, err := l.Charge(b); c != nil || err != nil {
		t.Errorf("charged %v, %v", c, err)
	}
	if l.devices.Load() != nil || l.tenants.Load() != nil {
		t.Error("there are tables")
	}
}

// A device that was away for an hour sends all that it has kept at once.
func TestAnHourOfBacklogGoes(t *testing.T) {
	t.Parallel()
	l := newLimits(t, perDevice(1, time.Hour))
	for i := range 36 {
		if r := l.send("", times(100, "pump")...); r != nil {
			t.Fatalf("batch %d: %+v", i, r)
		}
	}
	if r := l.send("", "pump"); r == nil || r.RetryAfter != time.Second-slack {
		t.Fatalf("one more: %+v", r)
	}
	if r := l.send("", "other"); r != nil {
		t.Errorf("another device: %v", r)
	}
}

// Retry-After is exact: a nanosecond earlier is too early.
func TestRetryAfterIsExact(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		cfg := perDevice(0.01+100*random.Float64(), time.Duration(1+random.IntN(100))*time.Second)
		cfg.Tenant.BytesPerSecond = int64(1 + random.IntN(10_000))
		l := newLimits(t, cfg)
		for range 50 {
			devices := times(1+random.IntN(20), "a")
			for i := range devices {
				devices[i] = string("abc"[random.IntN(3)])
			}
			r := l.send("", devices...)
			if r == nil {
				l.advance(time.Duration(random.Int64N(int64(2 * time.Second))))
				continue
			}
			l.advance(r.RetryAfter - 1)
			if l.send("", devices...) == nil {
				t.Fatalf("%+v: it went before its Retry-After of %s", cfg, r.RetryAfter)
			}
			l.advance(1)
			if again := l.send("", devices...); again != nil {
				t.Fatalf("%+v: after Retry-After %s it is refused: %+v", cfg, r.RetryAfter, again)
			}
		}
	}
}

// In the long run nobody gets more than the rate, nor less.
func TestRate(t *testing.T) {
	t.Parallel()
	l := newLimits(t, perDevice(3, 10*time.Second))
	went := 0
	for range 10_000 { // 100 s
		if l.send("", "d") == nil {
			went++
		}
		l.advance(10 * time.Millisecond)
	}
	if went < 329 || went > 330 { // 30 of the burst, 300 of the rate
		t.Errorf("%d events went", went)
	}
}

func TestRefusalSaysWhichLimit(t *testing.T) {
	t.Parallel()
	cfg := perDevice(1, 10*time.Second)
	cfg.Tenants = []TenantRule{{Tenant: "acme", Rate: Rate{BytesPerSecond: 100}, Device: Rate{EventsPerSecond: 2}}}
	cfg.Devices = []DeviceRule{{Device: "gateway-*", Rate: Rate{EventsPerSecond: 5}}}
	l := newLimits(t, cfg)
	for _, c := range []struct {
		tenant, device string
		most           int
		limit          string
		words          []string
	}{
		{"", "pump", 10, "device_events", []string{`device "pump" may send 1 events per second`, "10s", "rate_limits.device.events_per_second raises"}},
		{"", "gateway-1", 50, "device_events", []string{`device "gateway-1" may send 5`, "rate_limits.devices[0].events_per_second raises"}},
		{"other", "pump", 10, "device_events", []string{`device "pump" of tenant "other" may send 1`}},
		{"acme", "gateway-1", 10, "tenant_bytes", []string{`tenant "acme" may send 100 bytes`, "has 100 bytes", "rate_limits.tenants[0].bytes_per_second raises"}},
	} {
		if n := l.most(c.tenant, c.device); n != c.most {
			t.Errorf("%v: %d went", c, n)
		}
		r := l.send(c.tenant, c.device)
		for _, word := range c.words {
			if r.Cause != event.OverQuota || !strings.Contains(r.Detail, word) {
				t.Errorf("%v: no %q in %v: %s", c, word, r.Cause, r.Detail)
			}
		}
		if !strings.Contains(l.exposed(), fmt.Sprintf("refused_requests_total{limit=%q}", c.limit)) {
			t.Errorf("no metric for %s", c.limit)
		}
	}
	l2 := newLimits(t, cfg)
	if n := l2.most("acme", "a"); n != 10 { // the tenant's bytes, before 20 events
		t.Errorf("%d of acme went", n)
	}
}

// A request that is refused by one limit costs nothing of another.
func TestRefusedChargesNothing(t *testing.T) {
	t.Parallel()
	cfg := perDevice(1, 10*time.Second)
	cfg.Tenant.EventsPerSecond = 1.5
	l := newLimits(t, cfg)
	if r := l.send("", times(10, "a")...); r != nil {
		t.Fatal(r)
	}
	for range 100 {
		// The tenant could pay and b could; a cannot.
		if r := l.send("", "b", "a", "b"); r == nil || !strings.Contains(r.Detail, `device "a"`) {
			t.Fatalf("%v", r)
		}
		// Both devices could pay; the tenant cannot.
		if r := l.send("", append(times(3, "b"), times(3, "c")...)...); r == nil || !strings.Contains(r.Detail, "all senders") {
			t.Fatalf("%v", r)
		}
	}
	if r := l.send("", times(5, "b")...); r != nil { // all that is left of the tenant
		t.Error(r)
	}
	l.advance(10 * time.Second)
	if r := l.send("", times(10, "c")...); r != nil {
		t.Error(r)
	}
}

// What the journal refuses is given back.
func TestReturn(t *testing.T) {
	t.Parallel()
	cfg := perDevice(1, 10*time.Second)
	cfg.Device.BytesPerSecond = 100
	cfg.Tenant = cfg.Device
	l := newLimits(t, cfg)
	for range 100 {
		b := l.batch("", append(times(5, "a"), times(5, "b")...)...)
		c, err := l.Charge(b)
		if err != nil {
			t.Fatal(err)
		}
		b.Release()
		c.Return()
	}
	if r := l.send("", times(10, "a")...); r != nil {
		t.Error(r)
	}
}

// Small charges that go one by one could be refused where their sum never
// gets smaller.
func TestInterleavedDevicesPayOnce(t *testing.T) {
	t.Parallel()
	l := newLimits(t, perDevice(1, 3*time.Second))
	mixed := []string{"a", "b", "a", "b", "a", "b", "a", "b", "c"}
	if r := l.send("", mixed...); r != nil {
		t.Fatalf("more than a burst goes when the burst is whole: %v", r)
	}
	r := l.send("", mixed...)
	if r == nil || r.RetryAfter != 4*time.Second {
		t.Fatalf("%+v", r)
	}
	l.advance(r.RetryAfter)
	if r := l.send("", mixed...); r != nil {
		t.Error(r)
	}
}

func TestRejectedEventsAreFree(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Device.BytesPerSecond, cfg.Burst = 100, 10*time.Second
	l := newLimits(t, cfg)
	b := l.batch("", times(5, "a")...)
	b.Total = 50 // of 500 bytes, 50 are of the valid ones
	defer b.Release()
	c, err := l.Charge(b)
	if err != nil {
		t.Fatal(err)
	}
	c.Keep()
	if n := l.most("", "a"); n != 9 { // 1000 - 50
		t.Errorf("%d more went", n)
	}
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	cfg := perDevice(1, 10*time.Second)
	cfg.DryRun = true
	l := newLimits(t, cfg)
	for range 25 {
		if r := l.send("", "a"); r != nil {
			t.Fatal(r)
		}
	}
	if text := l.exposed(); !strings.Contains(text, `penstock_rate_limit_dry_run_requests_total{limit="device_events"} 15`) ||
		!strings.Contains(text, `penstock_rate_limit_refused_requests_total{limit="device_events"} 0`) {
		t.Error(text)
	}
}

// A change of one limit leaves the others' state alone.
func TestSetKeepsState(t *testing.T) {
	t.Parallel()
	cfg := perDevice(1, 10*time.Second)
	cfg.Devices = []DeviceRule{{Device: "gw", Rate: Rate{EventsPerSecond: 2}}}
	l := newLimits(t, cfg)
	if n, m := l.most("", "a"), l.most("", "gw"); n != 10 || m != 20 {
		t.Fatal(n, m)
	}
	cfg.Devices = []DeviceRule{{Device: "x", Rate: Rate{EventsPerSecond: 9}}, {Device: "gw", Rate: Rate{EventsPerSecond: 4}, Burst: 15 * time.Second}}
	if err := l.Set(cfg); err != nil {
		t.Fatal(err)
	}
	if r := l.send("", "a"); r == nil {
		t.Error("the limit that has not changed has been reset")
	}
	if n := l.most("", "gw"); n != 20 { // 5 s more of burst, at 4 per second
		t.Errorf("%d of gw went", n)
	}
	if n := l.most("", "x"); n != 90 {
		t.Errorf("%d of x went", n)
	}
	cfg.Device = Rate{}
	if err := l.Set(cfg); err != nil {
		t.Fatal(err)
	}
	if r := l.send("", "a"); r != nil {
		t.Errorf("the limit is gone, and refuses: %v", r)
	}
	if err := l.Set(Config{}); err == nil || !strings.Contains(err.Error(), "burst:") {
		t.Errorf("a wrong configuration: %v", err)
	}
}

// While limits are swapped, nobody gets through who should not, and nobody is
// refused who has not been at the limit.
func TestSetUnderLoad(t *testing.T) {
	t.Parallel()
	cfg := perDevice(1, 10*time.Second)
	cfg.Tenant.EventsPerSecond = 1e6
	l := newLimits(t, cfg)
	const workers, devices = 4, 200
	var went [devices]atomic.Int64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			other := cfg
			for j := range i % 5 {
				other.Devices = append(other.Devices, DeviceRule{Device: fmt.Sprintf("x%d", j), Rate: Rate{EventsPerSecond: 1}})
			}
			if err := l.Set(other); err != nil {
				t.Error(err)
			}
		}
	})
	var senders sync.WaitGroup
	for range workers {
		senders.Go(func() {
			for n := range devices * 10 {
				if d := n % devices; l.send("", fmt.Sprint("d", d)) == nil {
					went[d].Add(1)
				}
			}
		})
	}
	senders.Wait()
	close(stop)
	wg.Wait()
	for d := range went {
		if n := went[d].Load(); n != 10 {
			t.Errorf("%d events of device %d went", n, d)
		}
	}
}

func TestQuota(t *testing.T) {
	t.Parallel()
	cfg := perDevice(2, 10*time.Second)
	cfg.Headers = true
	cfg.Tenant.EventsPerSecond = 1000
	l := newLimits(t, cfg)
	b := l.batch("", times(5, "a")...)
	defer b.Release()
	if _, err := l.Charge(b); err != nil {
		t.Fatal(err)
	}
	if q, want := b.Quota, (event.Quota{Name: "device-events", Unit: "events", Most: 20, Window: 10 * time.Second, Left: 15, Reset: 2500 * time.Millisecond}); q != want {
		t.Errorf("%+v", q)
	}
	l.most("", "a")
	r := l.send("", "a")
	if q, want := r.Quota, (event.Quota{Name: "device-events", Unit: "events", Most: 20, Window: 10 * time.Second, Reset: 500*time.Millisecond - slack}); q != want {
		t.Errorf("%+v", q)
	}
}

func TestGlob(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "anything", true}, {"*", "", true}, {"a", "a", true}, {"a", "b", false}, {"a", "ab", false},
		{"gateway-*", "gateway-1/x", true}, {"gateway-*", "gateway", false}, {"*-pump-*-x", "a-pump-pump-b-x", true},
		{"*a*b", "aXbXb", true}, {"?", "", false}, {"a?c", "abc", true}, {strings.Repeat("*a", 30) + "b", strings.Repeat("a", 128), false},
	} {
		if got := matches(c.pattern, c.name); got != c.want {
			t.Errorf("%q matches %q: %t", c.pattern, c.name, got)
		}
	}
}

func TestConfigFaults(t *testing.T) {
	t.Parallel()
	cfg := Config{
		Burst: time.Millisecond, Tenant: Rate{EventsPerSecond: -1}, Device: Rate{BytesPerSecond: -1},
		Tenants: []TenantRule{{Device: Rate{EventsPerSecond: 2e9}, Burst: 1}},
		Devices: []DeviceRule{{Rate: Rate{EventsPerSecond: 1e-9}}},
	}
	text := fmt.Sprint(settings.Validate(cfg))
	for _, key := range []string{"burst:", "tenant.events_per_second:", "device.bytes_per_second:", "tenants[0].tenant:", "tenants[0].device.events_per_second:",
		"tenants[0].burst:", "devices[0].device:", "devices[0].events_per_second:", "max_devices:", "max_tenants:"} {
		if !strings.Contains(text, key) {
			t.Errorf("no fault of %s in\n%s", key, text)
		}
	}
	if err := settings.Validate(DefaultConfig()); err != nil {
		t.Error(err)
	}
}
