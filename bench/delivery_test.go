package bench

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink/delivery"
	"github.com/penstock-io/penstock/sink/delivery/filter"
	"github.com/penstock-io/penstock/sink/delivery/progress"
)

// away is a store that is not there.
type away struct{}

func (away) Write(context.Context, []*event.Batch) error { return errors.New("away") }
func (away) Sync(context.Context) error                  { return nil }

// BenchmarkFilteredAway is what a record costs whose sink filters every second
// one and has a store that is away: the same for the first as for the
// millionth.
func BenchmarkFilteredAway(b *testing.B) {
	pool := &event.Pool{}
	s, err := delivery.New("away", delivery.DefaultRemoteConfig(), delivery.Target{
		Writer: away{},
		Filter: filter.Filter{Devices: []string{"/dev-.*[02468]/"}},
	}, delivery.Source{
		Log: noLog{}, Checkpoint: noCheckpoint{}, Enricher: noEnricher{}, Pool: pool,
		Progress: progress.New(progress.Checkpoint{}, 0),
	}, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		b.Fatal(err)
	}
	s.Start()
	b.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, _ = s.Close(ctx) // the store is away
	})
	devices := [2]string{"dev-0", "dev-1"}
	at := event.Position(0)
	offer := func(i int) {
		x := pool.Get(100)
		x.AddField("v", 1)
		x.Commit(0, devices[i%2], 1)
		x.Position, x.Next = at, at+100
		at = x.Next
		s.Offer(x)
		x.Release()
	}
	const full = 200_000 // records after which the sink's memory is full
	for i := range full {
		offer(i)
	}
	m := start(b, 1, 100)
	for i := range b.N {
		offer(i)
	}
	m.stop()
	if n := s.Ledger().InFlight(); n < full/2 {
		b.Fatalf("%d events are in flight: the store was not away", n)
	}
}
