package sim

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// Fault is what is wrong with a device.
type Fault string

// The faults. The first three spoil values and are none of the server's
// business; the others are, and show what it rejects.
const (
	NoFault    Fault = ""
	Stuck      Fault = "stuck"      // now and then repeats its last values
	Spikes     Fault = "spikes"     // now and then a value is far off
	DropOut    Fault = "drop-out"   // now and then it says nothing
	WrongTypes Fault = "types"      // now and then no number where one belongs
	ClockSkew  Fault = "clock"      // now and then its clock is far off
	Repeats    Fault = "duplicates" // sends many of its envelopes twice
)

// faults are given to the faulty devices in turn, so that a few devices show
// all of them.
func faults() []Fault { return []Fault{WrongTypes, ClockSkew, Repeats, Stuck, Spikes, DropOut} }

// defect makes a fault happen.
type defect struct {
	fault Fault
	spell spell
	last  map[string]any
	skew  time.Duration
}

func newDefect(f Fault) defect {
	d := defect{fault: f, spell: spell{on: 8 * time.Minute, off: 25 * time.Minute}}
	if f == DropOut {
		d.spell.on = 20 * time.Minute
	}
	return d
}

// apply spoils an event, and reports whether it is sent at all.
func (d *defect) apply(e *Event, dt time.Duration, rng *rand.Rand) bool {
	if d.fault == NoFault || d.fault == Repeats {
		return true
	}
	was := d.spell.active
	active := d.spell.step(dt, rng)
	switch d.fault {
	case Stuck:
		if active && d.last != nil {
			e.Values = maps.Clone(d.last)
		}
		d.last = e.Values
	case Spikes:
		if rng.IntN(40) == 0 {
			name := pick(e.Values, rng)
			if x, ok := e.Values[name].(float64); ok {
				e.Values[name] = round(x*(4+6*rng.Float64())+50, 2)
			}
		}
	case DropOut:
		return !active
	case WrongTypes:
		if rng.IntN(5) == 0 {
			spoil(e, rng)
		}
	case ClockSkew:
		if active && !was {
			// The clock was lost and began again in 1970, or it was set to the
			// wrong time zone.
			d.skew = 3 * time.Hour
			if rng.IntN(2) == 0 {
				d.skew = -time.Duration(e.TS) * time.Millisecond
			}
		}
		if active {
			e.TS = max(e.TS+d.skew.Milliseconds(), 0)
		}
	}
	return true
}

// pick chooses a value by chance; the order of a map would not be the same
// in each run.
func pick(values map[string]any, rng *rand.Rand) string {
	names := slices.Sorted(maps.Keys(values))
	return names[rng.IntN(len(names))]
}

// spoil does to an event what firmware has been seen to do.
func spoil(e *Event, rng *rand.Rand) {
	name := pick(e.Values, rng)
	switch rng.IntN(6) {
	case 0:
		e.Values[name] = "NaN"
	case 1:
		e.Values[name] = "-"
	case 2:
		e.Values[name] = []any{e.Values[name], e.Values[name]}
	case 3:
		e.Values[name] = map[string]any{"value": e.Values[name]}
	case 4:
		e.Values["temp °C"] = 21.5
	case 5:
		e.Values[name] = nil // allowed: skipped and counted
	}
}
