package cardinality

import (
	"math"
	"math/bits"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/penstock-io/penstock/ingest/event"
)

// sketch estimates how many different values there were: HyperLogLog with 64
// registers, which errs by some 13 %. That is enough to tell a counter from a
// version.
type sketch [64]uint8

func (s *sketch) add(hash uint64) {
	register := hash >> 58
	rank := uint8(bits.LeadingZeros64(hash<<6|1<<5) + 1)
	if rank > s[register] {
		s[register] = rank
	}
}

func (s *sketch) merge(o *sketch) {
	for i, rank := range o {
		s[i] = max(s[i], rank)
	}
}

func (s *sketch) estimate() float64 {
	sum, empty := 0.0, 0
	for _, rank := range s {
		sum += 1 / float64(uint64(1)<<rank)
		if rank == 0 {
			empty++
		}
	}
	const m, alpha = 64, 0.709
	estimate := alpha * m * m / sum
	if estimate <= 2.5*m && empty > 0 {
		return m * math.Log(m/float64(empty)) // linear counting
	}
	return estimate
}

// valueHash is the hash of a tag's value, or of a device's name, for sketches.
func valueHash(value string) uint64 {
	h := xxhash.Sum64String(value) * 0x9E3779B97F4A7C15
	return h ^ h>>29
}

// maxTracked bounds the tags that an account tells apart. Later ones are not
// looked at until the generation turns.
const maxTracked = 8

// growth is how many values the tags of one account's new series had in a
// generation.
type growth struct {
	tags []tagGrowth
	// before is the tag that grew most in the generation before, which is
	// named until this one has something to say.
	before string
}

type tagGrowth struct {
	name string // the account's own copy
	sketch
}

// byDevice stands for the device's name among the tags, for tenants and
// metrics. No tag may be called so.
const byDevice = "device"

func (g *growth) add(name, value string) {
	for i := range g.tags {
		if g.tags[i].name == name {
			g.tags[i].add(valueHash(value))
			return
		}
	}
	if len(g.tags) == maxTracked {
		return
	}
	g.tags = append(g.tags, tagGrowth{name: strings.Clone(name)})
	g.tags[len(g.tags)-1].add(valueHash(value))
}

// note takes note of a series that is new, let in or not.
func (g *growth) note(device string, tags []event.Label, withDevice bool) {
	for i := range tags {
		g.add(tags[i].Name, tags[i].Value)
	}
	if withDevice {
		g.add(byDevice, device)
	}
}

// most returns the tag with the most values, and how many these are. name is
// empty if no tag has two.
func (g *growth) most() (name string, values int) {
	best := 1.5
	for i := range g.tags {
		if n := g.tags[i].estimate(); n > best {
			name, best = g.tags[i].name, n
		}
	}
	if name == "" {
		return g.before, 0
	}
	return name, int(best + 0.5)
}

// turn begins a generation.
func (g *growth) turn() {
	g.before, _ = g.most()
	g.tags = g.tags[:0]
}
