package journal

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/VictoriaMetrics/metrics"
)

// TestCrashes ends the machine, or the process only, at a random call, with
// several clients and a sink at work, some times in a row on the same disk.
// Every time everything that was acknowledged has to be there.
func TestCrashes(t *testing.T) {
	t.Parallel()
	runs := 60
	if long() {
		runs = 3000
	}
	base := newSeed(t)
	var appended, acked int
	for run := range runs {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(base, uint64(run)))
			c := newClient(t)
			m := newMemFS(t)
			for range 6 {
				crashRun(t, c, m, 1+rng.IntN(300), rng.IntN(4)+1)
				if rng.IntN(4) == 0 {
					m = m.kill()
				} else {
					m = m.cut(rng)
				}
			}
			c.check(m)
			appended, acked = appended+len(c.attempted), acked+len(c.acked)
		})
		if t.Failed() {
			t.Fatalf("in run %d", run)
		}
	}
	t.Logf("%d crashes, %d records appended, %d of them acknowledged", runs*6, appended, acked)
}

// crashRun works with the journal in m until its kth call.
func crashRun(t *testing.T, c *client, m *memFS, k, clients int) {
	m.setFault(func(n int, op, path string) error {
		if n >= k {
			m.dead = true
			return errPower
		}
		return nil
	})
	j, err := Open("j", testConfig(), m.env(), quiet(), metrics.NewSet())
	if err != nil {
		return
	}
	defer j.Close()
	sink, err := j.Consumer("sink", 0)
	if err != nil {
		return
	}
	low, _ := sink.Progress()
	r := j.NewReader(low)
	defer r.Close()
	var wg sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for range clients {
		wg.Go(func() {
			for {
				if _, err := c.send(j); err != nil {
					return
				}
			}
		})
	}
	var sinks sync.WaitGroup
	sinks.Go(func() {
		for j.Wait(ctx, low) == nil {
			low = c.drain(r)
			c.move(sink, low)
		}
	})
	wg.Wait()
	stop()
	sinks.Wait()
}
