package oracle

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/penstock-io/penstock/ingest/dialect"
	"github.com/penstock-io/penstock/ingest/dialect/promwrite"
	"github.com/penstock-io/penstock/ingest/event"
)

// limits are those of the fuzz targets: small, so that they are met.
var limits = dialect.Limits{
	MaxEvents: 50, MaxFields: 64, MaxTags: 16,
	MaxNameBytes: 64, MaxTagBytes: 100, MaxDeviceBytes: 40,
	MaxPast: 24 * time.Hour, MaxFuture: 10 * time.Minute,
}

var config = promwrite.Config{
	DeviceLabels: []string{"device", "instance"}, MaxSamples: 50, MaxLabels: 8, MaxLabelValueBytes: 100, QuotaStatus: 503,
}

// received is the time of receipt of every request here.
const received = 1_795_224_292_000

// series is a time series as the reference reads it.
type series struct {
	labels     [][2]string
	samples    []sample
	histograms int
}

type sample struct {
	value float64
	ts    int64
}

// result is what becomes of a request.
type result struct {
	stored   []string // one per event
	rejected map[event.Code]int
	skipped  promwrite.Skipped
	tooMany  bool
}

// expected says what becomes of a request by the rules in promwrite's
// documentation, written without regard to cost.
func expected(all []series) (r result) {
	r.rejected = map[event.Code]int{}
	total := 0
	for _, s := range all {
		total += len(s.samples) + s.histograms
		code, bad, line := expectedSeries(s)
		r.rejected[event.TypeMismatch] += s.histograms
		for _, x := range s.samples {
			switch {
			case bad:
				r.rejected[code]++
			case math.Float64bits(x.value) == 0x7ff0000000000002:
				r.skipped.Stale++
			case math.IsNaN(x.value):
				r.skipped.NaN++
			case x.ts < received-24*3600*1000 || x.ts > received+600*1000:
				r.rejected[event.TimestampRange]++
			default:
				r.stored = append(r.stored, fmt.Sprintf("%s %d %v", line, x.ts, x.value))
			}
		}
	}
	if total > config.MaxSamples {
		return result{tooMany: true}
	}
	return r
}

// name is the form in which a name is stored, or "".
func name(s string, extra string) string {
	var b strings.Builder
	if s != "" && s[0] >= '0' && s[0] <= '9' {
		b.WriteByte('_')
	}
	for i := range len(s) {
		c := s[i : i+1]
		if !strings.Contains("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"+extra, c) {
			c = "_"
		}
		b.WriteString(c)
	}
	if b.Len() == 0 || b.Len() > limits.MaxNameBytes || strings.HasPrefix(b.String(), "__") {
		return ""
	}
	return b.String()
}

func expectedSeries(s series) (code event.Code, bad bool, line string) {
	var labels [][2]string
	for _, l := range s.labels {
		if l[1] != "" && len(labels) < config.MaxLabels+3 {
			labels = append(labels, l)
		}
	}
	find := func(name string) int {
		return slices.IndexFunc(labels, func(l [2]string) bool { return l[0] == name })
	}
	at := find("__name__")
	if at < 0 {
		return event.InvalidName, true, ""
	}
	metric := name(labels[at][1], ":")
	if metric == "" {
		return event.InvalidName, true, ""
	}
	device := find("device")
	if device < 0 {
		device = find("instance")
	}
	if device < 0 {
		return event.MissingDevice, true, ""
	}
	d := labels[device][1]
	if len(d) > limits.MaxDeviceBytes || !utf8.ValidString(d) || strings.ContainsFunc(d, func(r rune) bool {
		return r < ' ' || r >= 0x7f && r <= 0x9f
	}) {
		return event.InvalidDevice, true, ""
	}
	var tags [][2]string
	for i, l := range labels {
		if i == at || i == device && l[0] == "device" {
			continue
		}
		n := l[0]
		if n == "device" {
			return event.InvalidName, true, "" // the device comes from another one
		}
		if n = name(n, ""); n == "" {
			return event.InvalidName, true, ""
		}
		if len(l[1]) > config.MaxLabelValueBytes {
			return event.TagTooLong, true, ""
		}
		if !utf8.ValidString(l[1]) {
			return event.InvalidTag, true, ""
		}
		tags = append(tags, [2]string{n, l[1]})
	}
	if len(tags) > config.MaxLabels {
		return event.TooManyTags, true, ""
	}
	for i := range tags {
		for j := range i {
			if tags[i][0] == tags[j][0] {
				return event.InvalidName, true, ""
			}
		}
	}
	return 0, false, fmt.Sprintf("%q %q %q", metric, d, tags)
}

// got says what became of a body.
func got(t *testing.T, body []byte, v promwrite.Version) (r result, err error) {
	t.Helper()
	var pool event.Pool
	b := pool.Get(len(body))
	defer b.Release()
	b.Body = append(b.Body, body...)
	b.ReceivedAt = received
	r.skipped, err = promwrite.NewDecoder(config, limits).Decode(b, v)
	if refusal, ok := errors.AsType[*event.Refusal](err); ok {
		if refusal.Cause == event.Internal {
			t.Fatal(err)
		}
		return result{tooMany: refusal.Cause == event.TooManyEvents}, err
	}
	for i := range b.Events {
		e := &b.Events[i]
		tags := [][2]string{}
		for _, l := range b.Tags(e) {
			tags = append(tags, [2]string{l.Name, l.Value})
		}
		for _, f := range b.Fields(e) {
			r.stored = append(r.stored, fmt.Sprintf("%q %q %q %d %v", f.Name, e.Device, tags, e.Timestamp, f.Value))
		}
	}
	r.rejected = map[event.Code]int{}
	n := 0
	for _, c := range event.Codes() {
		if b.RejectedBy(c) > 0 {
			r.rejected[c] = b.RejectedBy(c)
			n += b.RejectedBy(c)
		}
	}
	if b.Total != len(b.Events)+n {
		t.Fatalf("total is %d with %d events and %d rejected", b.Total, len(b.Events), n)
	}
	return r, nil
}

func compare(t *testing.T, body []byte, v promwrite.Version, reference []series, referenceErr error, canonical func() []byte) {
	t.Helper()
	g, err := got(t, body, v)
	if referenceErr != nil {
		if err == nil {
			t.Fatalf("the reference refuses this: %v", referenceErr)
		}
		return
	}
	e := expected(reference)
	if err != nil && !g.tooMany {
		// We do not read groups, which the messages have never had, nor what
		// nobody writes. What the reference makes of the body in its own
		// writing we must read.
		if g, err = got(t, canonical(), v); err != nil && !g.tooMany {
			t.Fatalf("refused: %v", err)
		}
	}
	for c, n := range e.rejected {
		if n == 0 {
			delete(e.rejected, c)
		}
	}
	if es, gs := fmt.Sprintf("%+v", e), fmt.Sprintf("%+v", g); es != gs {
		t.Fatalf("got\n%s\nwant\n%s", gs, es)
	}
}

func FuzzRemoteWrite1(f *testing.F) {
	for _, w := range seeds1() {
		data, err := w.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var w prompb.WriteRequest
		err := w.Unmarshal(strip(body, read1))
		var all []series
		for _, x := range w.Timeseries {
			s := series{histograms: len(x.Histograms)}
			for _, l := range x.Labels {
				s.labels = append(s.labels, [2]string{l.Name, l.Value})
			}
			for _, y := range x.Samples {
				s.samples = append(s.samples, sample{y.Value, y.Timestamp})
			}
			all = append(all, s)
		}
		compare(t, body, promwrite.V1, all, err, func() []byte {
			w := request(all)
			return marshal(t, &w)
		})
	})
}

// request returns what series say as a request of 1.0.
func request(all []series) (w prompb.WriteRequest) {
	for _, s := range all {
		x := prompb.TimeSeries{Histograms: make([]prompb.Histogram, s.histograms)}
		for _, l := range s.labels {
			x.Labels = append(x.Labels, prompb.Label{Name: l[0], Value: l[1]})
		}
		for _, y := range s.samples {
			x.Samples = append(x.Samples, prompb.Sample{Value: y.value, Timestamp: y.ts})
		}
		w.Timeseries = append(w.Timeseries, x)
	}
	return w
}

func marshal(t *testing.T, m interface{ Marshal() ([]byte, error) }) []byte {
	data, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func FuzzRemoteWrite2(f *testing.F) {
	for _, w := range seeds1() {
		data, err := convert(w).Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var w writev2.Request
		err := w.Unmarshal(strip(body, read2))
		var all []series
		for _, x := range w.Timeseries {
			s := series{histograms: len(x.Histograms)}
			for i, ref := range x.LabelsRefs {
				switch {
				case int(ref) >= len(w.Symbols):
					err = fmt.Errorf("no symbol %d", ref)
				case i%2 == 1 && int(x.LabelsRefs[i-1]) < len(w.Symbols):
					s.labels = append(s.labels, [2]string{w.Symbols[x.LabelsRefs[i-1]], w.Symbols[ref]})
				}
			}
			if len(x.LabelsRefs)%2 == 1 {
				err = errors.New("odd references")
			}
			for _, y := range x.Samples {
				s.samples = append(s.samples, sample{y.Value, y.Timestamp})
			}
			all = append(all, s)
		}
		compare(t, body, promwrite.V2, all, err, func() []byte { return marshal(t, convert(request(all))) })
	})
}

// schema has the fields of a message that decoding reads, and those of the
// messages in them; nil for what is no message.
type schema map[protowire.Number]schema

var (
	pair  = schema{1: nil, 2: nil}
	read1 = schema{1: {1: pair, 2: pair, 4: {}}}
	read2 = schema{4: nil, 5: {1: nil, 2: pair, 3: {}}}
)

// strip takes out of a message what decoding does not look at, and the
// reference does. From where the message cannot be read it is left as it is.
func strip(src []byte, s schema) (dst []byte) {
	for len(src) > 0 {
		number, kind, n := protowire.ConsumeField(src)
		switch {
		case len(s) == 0:
			return nil // nothing of it is read
		case n < 0:
			return append(dst, src...)
		}
		inner, ok := s[number]
		switch {
		case !ok:
		case inner == nil || kind != protowire.BytesType:
			dst = append(dst, src[:n]...)
		default:
			_, _, tag := protowire.ConsumeTag(src)
			data, _ := protowire.ConsumeBytes(src[tag:])
			dst = protowire.AppendBytes(protowire.AppendTag(dst, number, kind), strip(data, inner))
		}
		src = src[n:]
	}
	return dst
}

// convert returns a request of 1.0 as one of 2.0.
func convert(w prompb.WriteRequest) *writev2.Request {
	table := writev2.NewSymbolTable()
	out := &writev2.Request{}
	for _, x := range w.Timeseries {
		s := writev2.TimeSeries{}
		for _, l := range x.Labels {
			s.LabelsRefs = append(s.LabelsRefs, table.Symbolize(l.Name), table.Symbolize(l.Value))
		}
		for _, y := range x.Samples {
			s.Samples = append(s.Samples, writev2.Sample{Value: y.Value, Timestamp: y.Timestamp})
		}
		for range x.Histograms {
			s.Histograms = append(s.Histograms, writev2.Histogram{Timestamp: received})
		}
		out.Timeseries = append(out.Timeseries, s)
	}
	out.Symbols = table.Symbols()
	return out
}

func seeds1() []prompb.WriteRequest {
	stale := math.Float64frombits(0x7ff0000000000002)
	label := func(pairs ...string) (all []prompb.Label) {
		for i := 0; i < len(pairs); i += 2 {
			all = append(all, prompb.Label{Name: pairs[i], Value: pairs[i+1]})
		}
		return all
	}
	at := func(values ...float64) (all []prompb.Sample) {
		for i, v := range values {
			all = append(all, prompb.Sample{Value: v, Timestamp: received + int64(i)*15_000})
		}
		return all
	}
	long := strings.Repeat("x", 101)
	return []prompb.WriteRequest{
		{},
		{Timeseries: []prompb.TimeSeries{
			{Labels: label("__name__", "up", "instance", "host:9100", "job", "node"), Samples: at(1)},
			{Labels: label("__name__", "a:b:rate5m", "device", "pump-17", "job", "node", "instance", "host:9100"), Samples: at(1, 2, stale, math.NaN(), math.Inf(1))},
		}, Metadata: []prompb.MetricMetadata{{MetricFamilyName: "up", Help: "Is it up?"}}},
		{Timeseries: []prompb.TimeSeries{
			{Labels: label("job", "node", "instance", "host:9100"), Samples: at(1, stale)},
			{Labels: label("__name__", "up", "job", "node"), Samples: at(1)},
			{Labels: label("__name__", "2.cpu usage", "instance", "h", "job.name", "node", "job_name", "node"), Samples: at(1)},
			{Labels: label("__name__", "2.cpu usage", "instance", "h", "job.name", "node", "zz", ""), Samples: at(1)},
			{Labels: label("__name__", "up", "instance", long), Samples: at(1)},
			{Labels: label("__name__", "up", "instance", "h", "t", long), Samples: at(1)},
			{Labels: label("__name__", "up", "instance", "h", "t", "\xff"), Samples: at(1)},
			{Labels: label("__name__", "up", "instance", "h", "__t", "x"), Samples: at(1)},
			{Labels: label("__name__", "up", "instance", "a\nb"), Samples: at(1)},
			{Labels: label("__name__", "up", "a", "1", "b", "1", "c", "1", "d", "1", "e", "1", "f", "1", "g", "1", "h", "1", "instance", "i"), Samples: at(1)},
			{Labels: label("__name__", "up", "instance", "h"), Samples: []prompb.Sample{{Value: 1, Timestamp: -1}, {Value: 1, Timestamp: math.MaxInt64}}},
			{Labels: label("__name__", "up", "instance", "h"), Histograms: []prompb.Histogram{{Timestamp: received, Sum: 1}}},
			{Labels: label("__name__", "up", "instance", "h"), Exemplars: []prompb.Exemplar{{Value: 1, Timestamp: received}}},
		}},
		{Timeseries: []prompb.TimeSeries{{Labels: label("__name__", "up", "instance", "h"), Samples: make([]prompb.Sample, 51)}}},
	}
}
