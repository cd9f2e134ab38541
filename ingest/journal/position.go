package journal

import (
	"sync/atomic"

	"github.com/penstock-io/penstock/ingest/event"
)

// atomicPosition is a position that one goroutine moves and others read.
type atomicPosition struct{ v atomic.Uint64 }

func (p *atomicPosition) Load() event.Position   { return event.Position(p.v.Load()) }
func (p *atomicPosition) Store(x event.Position) { p.v.Store(uint64(x)) }
