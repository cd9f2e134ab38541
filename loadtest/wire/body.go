package wire

import (
	"bytes"
	"fmt"
	"strconv"
)

// Format is one way to write readings down.
type Format string

// The formats: Penstock's two, and those of the peers.
const (
	Penstock Format = "penstock" // an array of events
	NDJSON   Format = "ndjson"   // an event per line
	Influx   Format = "influx"   // line protocol; the measurement is "telemetry"
	VMJSON   Format = "vmjson"   // VictoriaMetrics' JSON lines, one per sample
)

// layout is what a format needs to be rendered. The row is written with the
// characters of a slot in the place of each value, as many as the value has.
type layout struct {
	row             string
	open, sep, shut string
	contentType     string
	path            string
}

// The placeholders of the slots. None of them occurs in a row otherwise.
const (
	phDevice      = "DDDDDD"
	phFW          = "F"
	phTS          = "SSSSSSSSSSSSS"
	phTemperature = "TTTTT"
	phHumidity    = "HHHH"
	phBattery     = "BBBB"
)

func (f Format) layout() (layout, error) {
	const event = `{"device":"dev-DDDDDD","ts":SSSSSSSSSSSSS,"values":{"temperature_c":TTTTT,` +
		`"humidity_pct":HHHH,"battery_v":BBBB},"tags":{"fw":"1.4.F"}}`
	switch f {
	case Penstock:
		return layout{event, "[", ",", "]", "application/json", "/v1/telemetry"}, nil
	case NDJSON:
		return layout{event, "", "\n", "\n", "application/x-ndjson", "/v1/telemetry"}, nil
	case Influx:
		const line = `telemetry,device=dev-DDDDDD,fw=1.4.F temperature_c=TTTTT,humidity_pct=HHHH,` +
			`battery_v=BBBB SSSSSSSSSSSSS`
		return layout{line, "", "\n", "\n", "text/plain", "/write?precision=ms"}, nil
	case VMJSON:
		const labels = `"device":"dev-DDDDDD","fw":"1.4.F"},"values":[`
		const lines = `{"metric":{"__name__":"temperature_c",` + labels + `TTTTT],"timestamps":[SSSSSSSSSSSSS]}` + "\n" +
			`{"metric":{"__name__":"humidity_pct",` + labels + `HHHH],"timestamps":[SSSSSSSSSSSSS]}` + "\n" +
			`{"metric":{"__name__":"battery_v",` + labels + `BBBB],"timestamps":[SSSSSSSSSSSSS]}`
		return layout{lines, "", "\n", "\n", "application/json", "/api/v1/import"}, nil
	}
	return layout{}, fmt.Errorf("unknown format %q", string(f))
}

// ContentType returns the media type of a body.
func (f Format) ContentType() string { l, _ := f.layout(); return l.contentType }

// Path returns where the format is POSTed to by default, with its query.
func (f Format) Path() string { l, _ := f.layout(); return l.path }

// slot is a place in a row that changes from event to event.
type slot struct {
	offset int
	kind   byte
}

// Body renders the bodies of one format and size. It belongs to one
// goroutine: every call of Render overwrites what the last one returned.
type Body struct {
	readings *Readings
	slots    []slot
	buf      []byte
	start    int // of the first row
	stride   int
	events   int
	numbers  *[1000][3]byte // "000" to "999"
	ts       [13]byte
}

// NewBody prepares bodies of that many events each.
func NewBody(f Format, r *Readings, events int) (*Body, error) {
	l, err := f.layout()
	if err != nil {
		return nil, err
	}
	if events < 1 {
		return nil, fmt.Errorf("a body needs at least one event, got %d", events)
	}
	b := &Body{readings: r, start: len(l.open), stride: len(l.row) + len(l.sep), events: events}
	b.buf = append(b.buf, l.open...)
	for i := range events {
		if i > 0 {
			b.buf = append(b.buf, l.sep...)
		}
		b.buf = append(b.buf, l.row...)
	}
	b.buf = append(b.buf, l.shut...)
	for _, ph := range []string{phDevice, phFW, phTS, phTemperature, phHumidity, phBattery} {
		for from := 0; ; {
			i := bytes.Index([]byte(l.row)[from:], []byte(ph))
			if i < 0 {
				break
			}
			b.slots = append(b.slots, slot{from + i, ph[0]})
			from += i + len(ph)
		}
	}
	b.numbers = new([1000][3]byte)
	for i := range b.numbers {
		copy(b.numbers[i][:], fmt.Sprintf("%03d", i))
	}
	return b, nil
}

// Render lends the body with one reading at ts of each device from first on;
// it is valid until the next call. ts is in milliseconds, between 2001 and
// 2286, where it has 13 digits. It costs some tens of nanoseconds an event
// and allocates nothing.
func (b *Body) Render(first int, ts int64) []byte {
	strconv.AppendInt(b.ts[:0], ts, 10)
	for i := range b.events {
		device := first + i
		p := b.readings.at(device, ts)
		row := b.buf[b.start+i*b.stride:]
		for _, s := range b.slots {
			at := row[s.offset:]
			switch s.kind {
			case phDevice[0]:
				*(*[3]byte)(at) = b.numbers[device/1000]
				*(*[3]byte)(at[3:]) = b.numbers[device%1000]
			case phFW[0]:
				at[0] = firmware(device)
			case phTS[0]:
				*(*[13]byte)(at) = b.ts
			case phTemperature[0]:
				*(*[5]byte)(at) = p.temperature
			case phHumidity[0]:
				*(*[4]byte)(at) = p.humidity
			case phBattery[0]:
				*(*[4]byte)(at) = p.battery
			}
		}
	}
	return b.buf
}
