package sim

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"time"
)

// Device is one simulated device. What it reads follows from the fleet's
// seed, its number and the moments at which it is asked. It belongs to one
// goroutine.
type Device struct {
	Name, Kind, Site, Room string
	Tags                   map[string]string
	Fault                  Fault

	rng    *rand.Rand
	model  model
	defect defect
	last   time.Time
}

// kind is a kind of device; weight is how many of them there are to others.
type kind struct {
	name   string
	weight int
	models []string
	rooms  []string
	build  func(*rand.Rand) model
}

func kinds() []kind {
	return []kind{
		{"cold-room", 4, []string{"TK-20", "TK-21"}, []string{"dairy", "meat", "freezer", "dispatch"},
			func(r *rand.Rand) model { return newColdRoom(r) }},
		{"pump", 3, []string{"P-400", "P-400S"}, []string{"basement", "plant-room", "well"},
			func(r *rand.Rand) model { return newPump(r) }},
		{"weather", 1, []string{"WS-7"}, []string{"roof"},
			func(r *rand.Rand) model { return newWeatherStation(r) }},
		{"meter", 2, []string{"EM-1", "EM-3"}, []string{"distribution", "tenant-a", "tenant-b"},
			func(r *rand.Rand) model { return newMeter(r) }},
	}
}

// NewFleet builds n devices; the share of them that is faulty is at least one
// device unless it is zero.
func NewFleet(n int, faulty float64, seed uint64) []*Device {
	sites := []string{"hamburg", "lyon", "porto", "gdansk", "turin", "bergen"}
	firmware := []string{"1.3.9", "1.4.0", "1.4.2", "1.4.2", "1.4.2", "2.0.0-rc1"}
	all := kinds()
	var order []int // kinds by weight
	for i, k := range all {
		for range k.weight {
			order = append(order, i)
		}
	}
	bad := map[int]Fault{}
	if count := int(math.Ceil(float64(n) * min(max(faulty, 0), 1))); count > 0 {
		rng := rand.New(rand.NewPCG(seed, math.MaxUint64))
		for i, device := range rng.Perm(n)[:count] {
			bad[device] = faults()[i%len(faults())]
		}
	}
	fleet := make([]*Device, n)
	numbers := map[string]int{}
	for i := range fleet {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		k := all[order[i%len(order)]]
		numbers[k.name]++
		d := &Device{
			Name:   fmt.Sprintf("%s-%03d", k.name, numbers[k.name]),
			Kind:   k.name,
			Site:   sites[rng.IntN(len(sites))],
			Room:   k.rooms[rng.IntN(len(k.rooms))],
			Tags:   map[string]string{"fw": firmware[rng.IntN(len(firmware))], "model": k.models[rng.IntN(len(k.models))]},
			Fault:  bad[i],
			rng:    rng,
			model:  k.build(rng),
			defect: newDefect(bad[i]),
		}
		fleet[i] = d
	}
	return fleet
}

// Read returns what the device says at that moment, which is not before the
// last one, and false where it says nothing.
func (d *Device) Read(at time.Time) (Event, bool) {
	var dt time.Duration
	if !d.last.IsZero() {
		dt = at.Sub(d.last)
	}
	d.last = at
	e := Event{TS: at.UnixMilli(), Values: d.model.read(at, dt, d.rng)}
	ok := d.defect.apply(&e, dt, d.rng)
	return e, ok
}

// WriteEnrichment writes what an inventory would know about the devices, as
// an enrichment table: device, site, room, kind.
func WriteEnrichment(w io.Writer, fleet []*Device) error {
	c := csv.NewWriter(w)
	rows := [][]string{{"device", "site", "room", "kind"}}
	for _, d := range fleet {
		rows = append(rows, []string{d.Name, d.Site, d.Room, d.Kind})
	}
	if err := c.WriteAll(rows); err != nil {
		return fmt.Errorf("cannot write the enrichment table: %w", err)
	}
	return nil
}
