package cardinality

import (
	"context"
	"time"
)

// Run turns the generations and writes snapshots until ctx is done, and one
// more then. It returns the error of the last one.
func (g *Guard) Run(ctx context.Context) error {
	clock := time.NewTicker(time.Second)
	defer clock.Stop()
	written := time.Now()
	for {
		select {
		case <-ctx.Done():
			return g.snapshot(time.Now())
		case now := <-clock.C:
			g.advance(now)
			if now.Sub(written) < g.cfg.SnapshotInterval {
				continue
			}
			if err := g.snapshot(now); err != nil {
				g.log.Error("cannot write the snapshot of the active series; after a crash those that began since the last one are not known", "error", err)
			}
			written = now
		}
	}
}

func (g *Guard) generationAt(now time.Time) uint64 {
	return uint64(max(now.UnixNano(), 0) / int64(g.cfg.Window))
}

// advance turns the generation if it is time to. A clock that is set back
// changes nothing: the generation lasts longer. New series wait meanwhile, for
// some 30 ms per million of series; known ones do not.
func (g *Guard) advance(now time.Time) {
	next := g.generationAt(now)
	gen := g.generation.Load()
	if next <= gen {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	// Ages count modulo 256, so generations are left one by one. After two
	// nothing is left that could be mistaken.
	for range min(next-gen, 2) {
		gen++
		g.turn(gen)
	}
	g.generation.Store(next)
}

// turn begins the generation. The caller holds mu.
func (g *Guard) turn(gen uint64) {
	g.generation.Store(gen)
	for i := range g.shards {
		rebuild(&g.shards[i], gen, 0, g.expire)
	}
	// Tenants come last: the keys of the others have their places in them.
	inTenant := func(a *account) uint64 { return accountKey(a.tenant, a.name) }
	g.devices.turn(inTenant)
	g.metrics.turn(inTenant)
	g.tenants.turn(func(a *account) uint64 { return accountKey(0, a.name) })
	g.tags.turn(&g.tenants)
}
