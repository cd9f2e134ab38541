package sim

import (
	"math"
	"math/rand/v2"
	"time"
)

// model is the physics behind a kind of device. read steps it to the given
// moment, dt after the one before, and returns what its sensors say then.
type model interface {
	read(at time.Time, dt time.Duration, rng *rand.Rand) map[string]any
}

// hour is the time of day in hours, from 0 to 24.
func hour(at time.Time) float64 {
	return float64(at.UnixMilli()%(24*time.Hour).Milliseconds()) / float64(time.Hour.Milliseconds())
}

// outdoors is the temperature in the open, coldest at 5 and warmest at 17,
// with days that are milder or colder than others.
func outdoors(at time.Time) float64 {
	day := float64(at.Unix()) / 86400
	return 11 + 5*math.Cos(2*math.Pi*(hour(at)-17)/24) + 3*math.Sin(2*math.Pi*day/6.3)
}

// working is how busy people are: 1 in office hours, less around them.
func working(at time.Time) float64 {
	return math.Exp(-math.Pow((hour(at)-13)/5, 4))
}

// towards moves x to target as a first-order lag with that time constant.
func towards(x, target float64, dt, constant time.Duration) float64 {
	return target + (x-target)*math.Exp(-dt.Seconds()/constant.Seconds())
}

// chance is whether what happens once per interval on average happens in dt.
func chance(rng *rand.Rand, dt, interval time.Duration) bool {
	return rng.Float64() < 1-math.Exp(-dt.Seconds()/interval.Seconds())
}

// round cuts a value to the decimals that a sensor of its sort would give.
func round(x float64, decimals int) float64 {
	p := math.Pow10(decimals)
	return math.Round(x*p) / p
}

// spell is something that comes and goes: a door, a burst, a fault.
type spell struct {
	on, off time.Duration // how long it lasts, on average, and how long it is away
	active  bool
}

func (s *spell) step(dt time.Duration, rng *rand.Rand) bool {
	length := s.off
	if s.active {
		length = s.on
	}
	if chance(rng, dt, length) {
		s.active = !s.active
	}
	return s.active
}

// coldRoom is a sensor in a refrigerated room: a compressor that goes on and
// off, a door that people leave open, and a battery that nobody charges.
type coldRoom struct {
	target      float64 // °C
	temperature float64
	humidity    float64
	battery     float64 // V
	cooling     bool
	door        spell
}

func newColdRoom(rng *rand.Rand) *coldRoom {
	c := &coldRoom{target: 4, battery: 2.7 + 0.35*rng.Float64(), humidity: 70}
	if rng.IntN(3) == 0 {
		c.target = -20
	}
	c.temperature = c.target + rng.Float64()
	return c
}

func (c *coldRoom) read(at time.Time, dt time.Duration, rng *rand.Rand) map[string]any {
	c.door.on = 45 * time.Second
	c.door.off = time.Duration(float64(15*time.Minute) / (0.02 + working(at)))
	open := c.door.step(dt, rng)
	switch {
	case c.temperature > c.target+1:
		c.cooling = true
	case c.temperature < c.target-1:
		c.cooling = false
	}
	warmth, lag := 12.0, 2*time.Hour
	if open {
		warmth, lag = 18, 15*time.Minute
	}
	if c.cooling {
		warmth -= 45
	}
	c.temperature = towards(c.temperature, warmth, dt, lag)
	damp := 70.0
	if open {
		damp = 92
	}
	c.humidity = towards(c.humidity, damp, dt, 4*time.Minute)
	c.battery -= 0.0002 * dt.Hours()
	if c.battery < 2.4 {
		c.battery = 3.05 // somebody has changed it
	}
	return map[string]any{
		"temperature_c": round(c.temperature+0.05*rng.NormFloat64(), 2),
		"humidity_pct":  round(min(c.humidity+0.3*rng.NormFloat64(), 100), 1),
		"battery_v":     round(c.battery, 3),
		"door_open":     open,
	}
}

// pump runs by demand, warms up, and shakes in bursts when it draws air.
type pump struct {
	running   spell
	burst     spell
	motor     float64 // °C
	wear      float64 // of the bearings: what it shakes at its best, in mm/s
	amplitude float64
}

func newPump(rng *rand.Rand) *pump {
	return &pump{motor: 20, wear: 1 + rng.Float64(), running: spell{active: true}}
}

func (p *pump) read(at time.Time, dt time.Duration, rng *rand.Rand) map[string]any {
	demand := 0.15 + 0.85*working(at)
	p.running.on = time.Duration(float64(40*time.Minute) * demand)
	p.running.off = time.Duration(float64(8*time.Minute) / demand)
	running := p.running.step(dt, rng)
	was := p.burst.active
	p.burst.on, p.burst.off = 3*time.Minute, 2*time.Hour
	if burst := p.burst.step(dt, rng); burst && !was {
		p.amplitude = 3 + 6*rng.Float64()
	}
	target, vibration, flow, pressure := 21.0, 0.05, 0.0, 1.1
	if running {
		target = 48 + 18*demand
		vibration = p.wear + 0.15*rng.NormFloat64()
		flow = 120 + 60*demand + 2*rng.NormFloat64()
		pressure = 3.9 + 0.5*demand + 0.03*rng.NormFloat64()
		if p.burst.active {
			vibration += p.amplitude * (0.7 + 0.3*rng.Float64())
			flow *= 0.8
		}
	}
	p.motor = towards(p.motor, target, dt, 12*time.Minute)
	return map[string]any{
		"motor_temperature_c": round(p.motor+0.1*rng.NormFloat64(), 1),
		"vibration_mm_s":      round(max(vibration, 0.01), 2),
		"flow_l_min":          round(max(flow, 0), 1),
		"pressure_bar":        round(pressure, 2),
		"running":             running,
	}
}

// weatherStation stands on a roof and lives on its solar panel.
type weatherStation struct {
	offset float64 // of this place against the region, °C
	clouds float64 // 0 to 1
	wind   float64 // m/s
	air    float64 // hPa
	charge float64 // of the battery, 0 to 1
}

func newWeatherStation(rng *rand.Rand) *weatherStation {
	return &weatherStation{offset: 2 * rng.NormFloat64(), clouds: rng.Float64(), wind: 3, air: 1013 + 6*rng.NormFloat64(), charge: 0.7}
}

func (w *weatherStation) read(at time.Time, dt time.Duration, rng *rand.Rand) map[string]any {
	// Noise that does not depend on how often it is drawn.
	noise := func(perRootHour float64) float64 { return perRootHour * math.Sqrt(dt.Hours()) * rng.NormFloat64() }
	w.clouds = min(max(towards(w.clouds, 0.4, dt, 5*time.Hour)+noise(0.25), 0), 1)
	w.wind = max(towards(w.wind, 3+2*working(at), dt, 30*time.Minute)+noise(2.5), 0)
	w.air = towards(w.air, 1013, dt, 60*time.Hour) + noise(0.8)
	sun := max(math.Sin(math.Pi*(hour(at)-6.5)/11.5), 0)
	if h := hour(at); h < 6.5 || h > 18 {
		sun = 0
	}
	solar := 820 * sun * (1 - 0.8*w.clouds)
	w.charge = min(max(w.charge+(solar/820*0.22-0.035)*dt.Hours(), 0), 1)
	temperature := outdoors(at) + w.offset + 3*sun*(1-w.clouds)
	humidity := min(max(88-3*(temperature-6)+10*w.clouds, 20), 100)
	return map[string]any{
		"temperature_c": round(temperature+0.08*rng.NormFloat64(), 2),
		"humidity_pct":  round(min(humidity+0.5*rng.NormFloat64(), 100), 1),
		"wind_m_s":      round(w.wind*(0.8+0.4*rng.Float64()), 1),
		"pressure_hpa":  round(w.air, 1),
		"solar_w_m2":    round(solar*(0.97+0.06*rng.Float64()), 0),
		"battery_v":     round(3.35+0.8*w.charge, 3),
	}
}

// meter counts the electricity of a building.
type meter struct {
	base   float64 // W
	heater spell
	energy float64 // kWh since it was installed
}

func newMeter(rng *rand.Rand) *meter {
	return &meter{base: 300 + 500*rng.Float64(), energy: math.Floor(40000 * rng.Float64())}
}

func (m *meter) read(at time.Time, dt time.Duration, rng *rand.Rand) map[string]any {
	m.heater.on, m.heater.off = 12*time.Minute, 35*time.Minute
	power := m.base * (1 + 6*working(at))
	if m.heater.step(dt, rng) {
		power += 2000
	}
	power *= 1 + 0.03*rng.NormFloat64()
	m.energy += power / 1000 * dt.Hours()
	return map[string]any{
		"power_w":    round(power, 0),
		"energy_kwh": round(m.energy, 3),
		"voltage_v":  round(230-power/2500+0.6*rng.NormFloat64(), 1),
	}
}
