package sim

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func testConfig() Config {
	return Config{
		Interval: 5 * time.Second, Backfill: time.Hour, BackfillStep: 30 * time.Second,
		MaxEvents: 50, Memory: time.Hour, Grace: 5 * time.Second, Seed: 1,
	}
}

// run runs a fleet for a while of synctest's time.
func run(t *testing.T, s *stub, fleet []*Device, cfg Config, length time.Duration) Counts {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	c := s.client()
	if err := Run(ctx, c, fleet, cfg); err != nil {
		t.Fatal(err)
	}
	return c.Stats.Counts()
}

func TestFleetSendsThePastAndThePresent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &stub{t: t, answer: always(204)}
		begin := time.Now()
		n := run(t, s, NewFleet(20, 0, 1), testConfig(), 10*time.Minute)
		// An hour in steps of 30 s, then 10 minutes in steps of 5.
		const each = 120 + 120
		if n.Sent != n.Acknowledged || n.Sent < 20*(each-7) || n.Sent > 20*(each+7) || n.Skipped != 0 {
			t.Errorf("sent %d, acknowledged %d, skipped %d; want about %d", n.Sent, n.Acknowledged, n.Skipped, 20*each)
		}
		type envelope struct {
			device, boot string
			seq          uint64
		}
		seen := map[envelope]bool{}
		last := map[string]int64{}
		for _, e := range s.got {
			id := envelope{e.Device, e.Boot, e.Seq}
			if e.Boot == "" || seen[id] {
				t.Fatalf("%v comes twice", id)
			}
			seen[id] = true
			for _, x := range e.Events {
				gap := x.TS - last[e.Device]
				if last[e.Device] == 0 {
					if x.TS < begin.Add(-time.Hour).UnixMilli() || x.TS > begin.Add(-time.Hour+5*time.Second).UnixMilli() {
						t.Errorf("%s begins at %s", e.Device, time.UnixMilli(x.TS).Sub(begin))
					}
				} else if gap != 5000 && gap != 30000 {
					t.Errorf("%s: %d ms between two readings", e.Device, gap)
				}
				if x.TS > e.at.UnixMilli() {
					t.Errorf("%s reads what is to come", e.Device)
				}
				last[e.Device] = x.TS
			}
		}
		if len(last) != 20 {
			t.Errorf("%d devices sent", len(last))
		}
	})
}

func TestFleetCatchesUpAfterAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		s := &stub{t: t, answer: func(int, Envelope) (int, int, string) {
			if d := time.Since(begin); d > time.Minute && d < 11*time.Minute {
				return 503, 5, ""
			}
			return 204, 0, ""
		}}
		cfg := testConfig()
		cfg.Backfill = 0
		n := run(t, s, NewFleet(10, 0, 1), cfg, 20*time.Minute)
		if want := uint64(10 * 20 * 12); n.Acknowledged != n.Sent || n.Sent < want-10 || n.Sent > want+10 {
			t.Errorf("sent %d, acknowledged %d, want about %d: no reading may be missing", n.Sent, n.Acknowledged, want)
		}
		if n.Retries == 0 || n.Skipped != 0 || n.Undelivered != 0 {
			t.Errorf("%+v", n)
		}
	})
}

func TestFleetForgetsWhatIsTooOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		s := &stub{t: t, answer: func(int, Envelope) (int, int, string) {
			if time.Since(begin) < time.Hour {
				return 503, 60, ""
			}
			return 204, 0, ""
		}}
		cfg := testConfig()
		cfg.Backfill, cfg.Memory = 0, 10*time.Minute
		n := run(t, s, NewFleet(1, 0, 1), cfg, 2*time.Hour)
		// 50 minutes of 12 readings each are gone, but for the envelope in hand.
		if n.Skipped < 500 || n.Skipped > 620 {
			t.Errorf("skipped %d readings, want about 600", n.Skipped)
		}
		if n.Sent+n.Skipped < 24*60-2 {
			t.Errorf("sent %d and skipped %d of %d", n.Sent, n.Skipped, 24*60)
		}
	})
}

func TestFleetEndsInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		s := &stub{t: t, answer: always(503)}
		n := run(t, s, NewFleet(5, 0, 1), testConfig(), time.Minute)
		if took := time.Since(begin); took > time.Minute+testConfig().Grace {
			t.Errorf("it took %s", took)
		}
		if n.Acknowledged != 0 || n.Undelivered != n.Sent || n.Sent == 0 {
			t.Errorf("%+v", n)
		}
	})
}

func TestFleetStopsWhereItIsForbidden(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &stub{t: t, answer: always(401)}
		if err := Run(t.Context(), s.client(), NewFleet(5, 0, 1), testConfig()); err == nil {
			t.Error("no error")
		}
		if len(s.got) != 5 {
			t.Errorf("%d requests from 5 devices", len(s.got))
		}
	})
}

func TestRepeatingDevicesSendTheSameEnvelope(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var repeats atomic.Int32
		seen := map[string]string{}
		s := &stub{t: t}
		s.answer = func(_ int, e Envelope) (int, int, string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			id, content := fmt.Sprint(e.Device, e.Boot, e.Seq), fmt.Sprint(e.Events)
			if before, ok := seen[id]; ok {
				repeats.Add(1)
				if before != content {
					t.Errorf("%s has changed", id)
				}
			}
			seen[id] = content
			return 204, 0, ""
		}
		fleet := NewFleet(6, 1, 1)
		n := run(t, s, fleet, testConfig(), 5*time.Minute)
		if repeats.Load() < 5 || n.Repeated == 0 || n.Sent != n.Acknowledged {
			t.Errorf("%d envelopes came twice; %+v", repeats.Load(), n)
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	if err := testConfig().Validate(); err != nil {
		t.Error(err)
	}
	if err := (Config{Backfill: time.Hour}).Validate(); err == nil {
		t.Error("zero is accepted")
	}
}
