package limit

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

// clock is a time that the test moves.
type clock struct{ at atomic.Int64 }

func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

type limits struct {
	*Limits
	clock
	pool *event.Pool
	set  *metrics.Set
}

func newLimits(t testing.TB, cfg Config) *limits {
	t.Helper()
	l := &limits{pool: &event.Pool{}, set: metrics.NewSet()}
	l.at.Store(int64(time.Hour))
	var err error
	if l.Limits, err = New(cfg, slog.New(slog.NewTextHandler(io.Discard, nil)), l.set); err != nil {
		t.Fatal(err)
	}
	l.now = l.at.Load
	return l
}

// batch returns events of the devices, in a body of 100 bytes for each.
func (l *limits) batch(tenant string, devices ...string) *event.Batch {
	b := l.pool.Get(100 * len(devices))
	b.Body = append(b.Body, bytes.Repeat([]byte("x"), 100*len(devices))...)
	for i, d := range devices {
		b.AddField("v", 1)
		b.Commit(i, d, 1)
	}
	b.Total = len(devices)
	if tenant != "" {
		b.Sender = &event.Sender{Tenant: tenant}
	}
	return b
}

// send charges a batch for good, and returns its refusal, nil if there is none.
func (l *limits) send(tenant string, devices ...string) *event.Refusal {
	b := l.batch(tenant, devices...)
	defer b.Release()
	charge, err := l.Charge(b)
	if err != nil {
		return event.AsRefusal(err)
	}
	if charge != nil {
		charge.Keep()
	}
	return nil
}

// most sends batches until one is refused, and returns how many went.
func (l *limits) most(tenant string, devices ...string) int {
	for n := range 100_000 {
		if l.send(tenant, devices...) != nil {
			return n
		}
	}
	return -1
}

func (l *limits) exposed() string {
	var out strings.Builder
	l.set.WritePrometheus(&out)
	return out.String()
}

func times(n int, device string) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = device
	}
	return all
}
