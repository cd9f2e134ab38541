package cardinality

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

var epoch = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func config() Config {
	cfg := DefaultConfig()
	cfg.PerDevice = 10
	return cfg
}

func open(t testing.TB, cfg Config, path string, now time.Time) *Guard {
	t.Helper()
	g, err := New(cfg, path, now, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func openAnew(t testing.TB, cfg Config) *Guard {
	return open(t, cfg, filepath.Join(t.TempDir(), "guard", "series.snapshot"), epoch)
}

// reading is an event. Tags are name=value.
type reading struct {
	tenant, device string
	fields, tags   []string
}

func (r reading) add(b *event.Batch) {
	for i, f := range r.fields {
		b.AddField(f, float64(i))
	}
	for _, t := range r.tags {
		name, value, _ := strings.Cut(t, "=")
		b.AddTag(name, value)
	}
	b.Commit(b.Total, r.device, 1)
	b.Total++
}

var pool event.Pool

// screen sends one event and returns nil if it passed.
func screen(t testing.TB, g *Guard, r reading) *event.Rejection {
	t.Helper()
	b := pool.Get(0)
	defer b.Release()
	if r.tenant != "" {
		b.Sender = &event.Sender{Tenant: r.tenant}
	}
	r.add(b)
	if err := g.Screen(b); err != nil {
		t.Fatal(err)
	}
	if len(b.Events)+len(b.Rejections) != 1 || b.RejectedBy(event.TooManySeries) != len(b.Rejections) {
		t.Fatalf("%d events and %d rejections of one event", len(b.Events), len(b.Rejections))
	}
	if len(b.Rejections) == 1 {
		r := b.Rejections[0]
		return &r
	}
	return nil
}
