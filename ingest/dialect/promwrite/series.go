package promwrite

import (
	"fmt"
	"strconv"
	"time"
	"unsafe"

	"github.com/penstock-io/penstock/ingest/dialect"
	"github.com/penstock-io/penstock/ingest/event"
)

// series is what the labels of a TimeSeries say.
type series struct {
	metric, device string
	fault          fault // detail is empty if there is none
}

// fault is why the samples of a series are rejected.
type fault struct {
	code    event.Code
	pointer string // to the label at fault, or empty
	detail  string
}

// Details that need no formatting, so that a body full of faults costs no
// strings.
const (
	noName      = "the series has no label __name__"
	noDevice    = "the series has none of the labels that name the device (dialects.prometheus.device_labels)"
	badDevice   = "the label that names the device is too long, is not UTF-8, or has control characters"
	badMetric   = "the name of the metric is empty, too long, or begins with two underscores"
	badLabel    = "the name of a label is empty, too long, or begins with two underscores"
	twice       = "two labels of the series have the same name, with underscores for what names are not made of"
	tooMany     = "the series has more labels than dialects.prometheus.max_labels"
	tooLong     = "the value of a label is longer than dialects.prometheus.max_label_value_bytes"
	notText     = "the value of a label is not UTF-8"
	nameLabel   = "__name__"
	deviceLabel = "device"
	exported    = "exported_device"
)

// resolve sorts the labels of the series into the metric, the device and
// w.tags.
func (w *walker) resolve() (s series) {
	w.tags = w.tags[:0]
	name, device := -1, -1
	for i := range w.labels {
		if w.labels[i].Name == nameLabel {
			name = i
			break
		}
	}
find:
	for _, wanted := range w.cfg.DeviceLabels {
		for i := range w.labels {
			if w.labels[i].Name == wanted {
				device = i
				break find
			}
		}
	}
	if name < 0 {
		return failed(event.InvalidName, nameLabel, noName)
	}
	if s.metric = w.metricName(w.labels[name].Value); s.metric == "" {
		return failed(event.InvalidName, nameLabel, badMetric)
	}
	switch {
	case device >= 0:
		s.device = w.labels[device].Value
	case w.cfg.DefaultDevice != "":
		s.device = w.cfg.DefaultDevice
	default:
		return failed(event.MissingDevice, "", noDevice)
	}
	if w.limits.CheckDevice(unsafe.Slice(unsafe.StringData(s.device), len(s.device))) != dialect.DeviceFine {
		return failed(event.InvalidDevice, "", badDevice)
	}
	sorted, last := true, ""
	for i := range w.labels {
		l := &w.labels[i]
		if i == name || i == device && l.Name == deviceLabel {
			continue
		}
		tag := l.Name
		if tag == deviceLabel {
			if device >= 0 && w.labels[device].Name == deviceLabel {
				return failed(event.InvalidName, deviceLabel, twice)
			}
			tag, sorted = exported, false
		} else if !dialect.ValidName(w.limits, tag) {
			if tag = w.escaped(tag); tag == "" {
				return failed(event.InvalidName, "", badLabel)
			}
			sorted = false
		}
		if len(l.Value) > w.limits.MaxTagBytes {
			return failed(event.TagTooLong, tag, tooLong)
		}
		if !isText(l.Value) {
			return failed(event.InvalidTag, tag, notText)
		}
		sorted = sorted && last < tag
		last = tag
		w.tags = append(w.tags, event.Label{Name: tag, Value: l.Value})
	}
	if len(w.tags) > w.limits.MaxTags {
		return failed(event.TooManyTags, "", tooMany)
	}
	if !sorted && !distinct(w.tags) {
		return failed(event.InvalidName, "", twice)
	}
	return s
}

func failed(code event.Code, pointer, detail string) series {
	return series{fault: fault{code, pointer, detail}}
}

// distinct reports whether no two labels have the same name. They are few.
func distinct(labels []event.Label) bool {
	for i := range labels {
		for j := range i {
			if labels[i].Name == labels[j].Name {
				return false
			}
		}
	}
	return true
}

// metricName returns the name of a metric as it is stored, or "".
func (w *walker) metricName(name string) string {
	valid := !('0' <= name[0] && name[0] <= '9')
	for i := 0; i < len(name) && valid; i++ {
		valid = inMetric[name[i]]
	}
	if !valid {
		w.scratch = w.scratch[:0]
		if '0' <= name[0] && name[0] <= '9' {
			w.scratch = append(w.scratch, '_')
		}
		for i := range len(name) {
			c := name[i]
			if !inMetric[c] {
				c = '_'
			}
			w.scratch = append(w.scratch, c)
			if len(w.scratch) > w.limits.MaxNameBytes {
				return ""
			}
		}
		name = w.b.Intern(w.scratch)
	}
	if len(name) > w.limits.MaxNameBytes || len(name) > 1 && name[:2] == "__" {
		return ""
	}
	return name
}

// inMetric marks the bytes that names of metrics are made of. It is read only.
var inMetric = func() (table [256]bool) {
	for c := range table {
		lower := c | 0x20
		table[c] = c == '_' || c == ':' || '0' <= c && c <= '9' || 'a' <= lower && lower <= 'z'
	}
	return table
}()

// escaped returns the name of a label with underscores for what names are not
// made of, or "" if that is no name either.
func (w *walker) escaped(name string) string {
	if len(name) > w.limits.MaxNameBytes {
		return ""
	}
	w.scratch = dialect.AppendName(w.scratch[:0], name)
	if !dialect.ValidName(w.limits, w.scratch) {
		return ""
	}
	return w.b.Intern(w.scratch)
}

// reject rejects the sample that was counted last.
func (w *walker) reject(s *series, f fault) {
	w.b.Total++
	r := w.b.Reject(w.samples-1, f.code)
	if r == nil {
		return
	}
	if f.pointer != "" {
		r.Pointer = "/labels/" + f.pointer
	}
	r.Detail = f.detail
	if s.metric != "" {
		r.Detail = "metric " + shown(s.metric) + ": " + f.detail
	} else if len(w.labels) > 0 {
		r.Detail += "; its first label is " + shown(w.labels[0].Name) + "=" + shown(w.labels[0].Value)
	}
}

// rejectTime rejects a sample whose timestamp is out of range.
func (w *walker) rejectTime(s *series, ts int64) {
	w.b.Total++
	if r := w.b.Reject(w.samples-1, event.TimestampRange); r != nil {
		r.Pointer = "/timestamp"
		r.Detail = fmt.Sprintf("metric %s: %s is not between %s and %s",
			shown(s.metric), instant(ts), instant(w.from), instant(w.to))
	}
}

// instant returns a timestamp for people.
func instant(ms int64) string {
	if t := time.UnixMilli(ms).UTC(); t.Year() > 0 && t.Year() < 10_000 {
		return t.Format(time.RFC3339)
	}
	return strconv.FormatInt(ms, 10) + " ms"
}

// shown returns what the sender sent in quoted, shortened form.
func shown(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
