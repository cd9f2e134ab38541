package limit

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The bound holds whatever comes, and what is forgotten is counted.
func TestBound(t *testing.T) {
	t.Parallel()
	cfg := perDevice(1, time.Hour)
	cfg.MaxDevices = 1000
	l := newLimits(t, cfg)
	table := l.devices.Load()
	size := table.size()
	for i := range 20 * size {
		if r := l.send("", fmt.Sprint("d", i)); r != nil {
			t.Fatalf("a device that nobody knows is refused: %v", r)
		}
	}
	if n := table.busy(l.now()); n > size || n < size*9/10 || table.size() != size || size > 4000 {
		t.Errorf("%d of %d are busy, there are %d", n, size, table.size())
	}
	if n := table.forgotten.Load(); n < uint64(18*size) {
		t.Errorf("%d are said to be forgotten", n)
	}
}

// As many as were asked for are remembered, all of them.
func TestCapacity(t *testing.T) {
	t.Parallel()
	cfg := perDevice(1, time.Hour)
	for _, cfg.MaxDevices = range []int{16, 100, 1000, 10_922} {
		l := newLimits(t, cfg)
		for i := range cfg.MaxDevices {
			l.send("", fmt.Sprint("d", i))
		}
		table := l.devices.Load()
		if n := table.forgotten.Load(); n > uint64(cfg.MaxDevices/1000) {
			t.Errorf("max_devices %d: %d were forgotten of %d", cfg.MaxDevices, n, table.size())
		}
	}
}

// Idle ones make room, and lose nothing.
func TestIdleAreForgotten(t *testing.T) {
	t.Parallel()
	cfg := perDevice(1, 10*time.Second)
	cfg.MaxDevices = 16
	l := newLimits(t, cfg)
	busy := l.most("", "busy")
	for i := range 1_000 {
		if r := l.send("", fmt.Sprint("d", i)); r != nil {
			t.Fatal(r)
		}
		l.advance(time.Second)
		if r := l.send("", "busy"); r != nil {
			t.Fatalf("it sends at its rate and is refused: %v", r)
		}
		if l.send("", "busy") == nil {
			t.Fatal("its state is forgotten")
		}
	}
	if n := l.devices.Load().forgotten.Load(); n != 0 || busy != 10 {
		t.Errorf("%d were forgotten before they were idle", n)
	}
}

// Many goroutines, few slots, all the time with new owners: a charge neither
// hits the wrong owner nor is lost.
func TestOwnersChangeUnderLoad(t *testing.T) {
	t.Parallel()
	cfg := perDevice(1, 10*time.Second)
	cfg.MaxDevices = 16
	l := newLimits(t, cfg)
	stop := make(chan struct{})
	var strangers, owners sync.WaitGroup
	for w := range 3 {
		strangers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				// Never more than its burst: a refusal is a charge that was
				// another's.
				name := fmt.Sprint("s", w, "-", i)
				if r := l.send("", times(10, name)...); r != nil {
					t.Errorf("%s is refused: %v", name, r)
				}
				l.advance(11 * time.Second)
			}
		})
	}
	// An owner that is always far over its limit is never let through early.
	var went atomic.Int64
	from := l.now()
	for range 3 {
		owners.Go(func() {
			for range 5_000 {
				if l.send("", "owner") == nil {
					went.Add(1)
				}
			}
		})
	}
	owners.Wait()
	elapsed := time.Duration(l.now() - from)
	close(stop)
	strangers.Wait()
	// A stranger that is not idle yet may be forgotten for want of room, and so
	// may the owner; time runs fast enough that this is rare.
	forgotten := int64(l.devices.Load().forgotten.Load())
	if most := 10 + int64(elapsed/time.Second) + 10*forgotten; went.Load() > most {
		t.Errorf("%d events of the owner went in %s, %d would be right", went.Load(), elapsed, most)
	}
}

func FuzzGlob(f *testing.F) {
	f.Add("a*b?c", "aXXbYc")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		_ = matches(pattern, name) // does not panic
		if !matches("*", name) || !matches(name+"*", name) {
			t.Error(pattern, name)
		}
	})
}
