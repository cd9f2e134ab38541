package schema

import (
	"math"
	"sync"

	"github.com/penstock-io/penstock/ingest/event"
)

// reading is the newest one of a series, whatever became of it.
type reading struct {
	series uint64 // 0: none
	ts     int64
	value  float64
	code   event.Code // what was wrong with it, if faulty
	faulty bool
}

// Readings lie in sets of four. The series' hash tells the set; the oldest
// reading of a full one makes room.
const (
	ways       = 4
	lockStripe = 256 // locks for all sets
)

// lastReadings keeps the newest reading of each series, of a bounded number:
// 40 bytes each, allocated at once. Of series beyond that the oldest are
// forgotten, and their next value is not compared.
type lastReadings struct {
	sets  [][ways]reading
	locks [lockStripe]struct {
		sync.Mutex
		_ [56]byte // a cache line each
	}
}

func newLastReadings(n int) *lastReadings {
	sets := 1
	for sets*ways < n {
		sets *= 2
	}
	return &lastReadings{sets: make([][ways]reading, sets)}
}

// judge compares a value with the one before it and keeps it. ok is false if
// it breaks the rule, with the code and the value before. A value that is not
// newer than the one before is not compared: devices send their backlog in any
// order. One that comes again, as in a repeated request, is judged as it was.
//
// What is compared with is the last reading, also if that was rejected. So a
// level that has really changed costs one event, not all that follow.
func (l *lastReadings) judge(series uint64, r *rule, ts int64, value float64) (before float64, code event.Code, ok bool) {
	if series == 0 {
		series = 1
	}
	set := series & uint64(len(l.sets)-1)
	lock := &l.locks[set%lockStripe]
	lock.Lock()
	defer lock.Unlock()
	way, oldest := -1, 0
	for i := range l.sets[set] {
		x := &l.sets[set][i]
		if x.series == series {
			way = i
			break
		}
		if x.series == 0 || l.sets[set][oldest].series != 0 && x.ts < l.sets[set][oldest].ts {
			oldest = i
		}
	}
	if way < 0 {
		l.sets[set][oldest] = reading{series: series, ts: ts, value: value}
		return 0, 0, true
	}
	x := &l.sets[set][way]
	if ts <= x.ts {
		if ts == x.ts && value == x.value && x.faulty {
			return x.value, x.code, false
		}
		return 0, 0, true
	}
	before, ok = x.value, true
	switch {
	case r.Monotonic && value < before:
		code, ok = event.SchemaMonotonic, false
	case math.Abs(value-before) > r.step:
		code, ok = event.SchemaStep, false
	}
	*x = reading{series: series, ts: ts, value: value, code: code, faulty: !ok}
	return before, code, ok
}
