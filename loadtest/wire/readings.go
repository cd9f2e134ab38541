// Package wire renders what the native generator sends: the reference work, in
// Penstock's form and in those of its peers. It knows the wire
// contract and none of the project's code.
//
// The generator shares its cores with the server it measures, so a body is
// never built from scratch: each format is a template whose fields have a
// fixed width, and Render overwrites the digits in place.
package wire

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
)

// MaxDevices is the number of devices that the six digits in a device's name
// can tell apart.
const MaxDevices = 1_000_000

// Reading is one logical event: the same whatever format carries it.
type Reading struct {
	Device      string
	TS          int64 // milliseconds since the Unix epoch
	Temperature float64
	Humidity    float64
	Battery     float64
	FW          string
}

// Names of the fields of a Reading in the store.
const (
	TemperatureName = "temperature_c"
	HumidityName    = "humidity_pct"
	BatteryName     = "battery_v"
)

// curvePoints is a power of two, because points are found by masking.
const curvePoints = 4096

// point is one row of values as it stands in a body. The widths never change,
// and no number has a leading zero, which JSON forbids.
type point struct {
	temperature [5]byte // 15.00 to 34.99
	humidity    [4]byte // 30.0 to 79.9
	battery     [4]byte // 3.10 to 4.19
}

// Readings tells what every device reads at every moment. It is a pure
// function of its seed, so whoever knows device and timestamp of an
// acknowledged event knows which values to look for in the store. It is
// immutable once made, and so may be shared.
type Readings struct {
	points [curvePoints]point
}

// NewReadings makes the readings that belong to seed: a closed random walk
// that every device follows at a place of its own.
func NewReadings(seed uint64) *Readings {
	r := &Readings{}
	rng := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	var noise float64
	for i := range r.points {
		// The walk ends where it begins, so that it has no seam.
		day := 2 * math.Pi * float64(i) / curvePoints
		noise = 0.95*noise + 0.3*rng.NormFloat64()
		fade := math.Sin(day / 2)
		temperature := 25 - 6*math.Cos(day) + noise*fade
		humidity := 55 + 15*math.Cos(day) - 2*noise*fade
		battery := 3.65 + 0.4*math.Cos(2*day) + 0.01*noise*fade
		p := &r.points[i]
		copy(p.temperature[:], fmt.Sprintf("%.2f", clamp(temperature, 15, 34.99)))
		copy(p.humidity[:], fmt.Sprintf("%.1f", clamp(humidity, 30, 79.9)))
		copy(p.battery[:], fmt.Sprintf("%.2f", clamp(battery, 3.1, 4.19)))
	}
	return r
}

func clamp(x, low, high float64) float64 { return min(max(x, low), high) }

// at is the row of values of a device at a moment. A device goes one point
// further every 16 ms, about as often as it sends in R1.
func (r *Readings) at(device int, ts int64) *point {
	return &r.points[(uint64(device)*977+uint64(ts)>>4)%curvePoints]
}

// At returns what the device reads at ts, in milliseconds since the Unix
// epoch.
func (r *Readings) At(device int, ts int64) Reading {
	p := r.at(device, ts)
	number := func(b []byte) float64 {
		x, err := strconv.ParseFloat(string(b), 64)
		if err != nil {
			panic("BUG: " + err.Error())
		}
		return x
	}
	return Reading{
		Device:      DeviceName(device),
		TS:          ts,
		Temperature: number(p.temperature[:]),
		Humidity:    number(p.humidity[:]),
		Battery:     number(p.battery[:]),
		FW:          "1.4." + string(firmware(device)),
	}
}

// DeviceName returns the name of a device by its number, which is below
// MaxDevices.
func DeviceName(device int) string { return fmt.Sprintf("dev-%06d", device) }

// firmware is the last digit of a device's fw tag: a fleet runs a few versions
// at a time, and a device does not change its own while a test runs.
func firmware(device int) byte { return '0' + byte(device&3) }
