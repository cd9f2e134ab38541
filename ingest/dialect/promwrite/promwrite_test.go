package promwrite

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/easyproto"

	"github.com/penstock-io/penstock/ingest/dialect"
	"github.com/penstock-io/penstock/ingest/event"
)

const received = 1_795_224_292_000

var limits = dialect.Limits{
	MaxEvents: 10_000, MaxFields: 64, MaxTags: 16, MaxNameBytes: 128, MaxTagBytes: 256, MaxDeviceBytes: 128,
	MaxPast: time.Hour, MaxFuture: 10 * time.Minute,
}

// written is a request that a test writes, in either version.
type written []timeSeries

type timeSeries struct {
	labels     []string // name, value, name, value ...
	samples    []float64
	histograms int
	exemplars  int
}

var marshalers easyproto.MarshalerPool

// v1 returns a prometheus.WriteRequest with metadata.
func (r written) v1() []byte {
	m := marshalers.Get()
	defer marshalers.Put(m)
	mm := m.MessageMarshaler()
	for _, s := range r {
		ts := mm.AppendMessage(1)
		for i := 0; i < len(s.labels); i += 2 {
			l := ts.AppendMessage(1)
			l.AppendString(1, s.labels[i])
			l.AppendString(2, s.labels[i+1])
		}
		s.points(ts, 4, 3)
	}
	mm.AppendMessage(3).AppendString(2, "up")
	return m.Marshal(nil)
}

// v2 returns an io.prometheus.write.v2.Request, with the symbols at the end.
func (r written) v2() []byte {
	m := marshalers.Get()
	defer marshalers.Put(m)
	mm := m.MessageMarshaler()
	symbols := []string{""}
	for _, s := range r {
		ts := mm.AppendMessage(5)
		var refs []uint32
		for _, l := range s.labels {
			refs = append(refs, uint32(len(symbols)))
			symbols = append(symbols, l)
		}
		ts.AppendUint32s(1, refs)
		s.points(ts, 3, 4)
	}
	for _, s := range symbols {
		mm.AppendString(4, s)
	}
	return m.Marshal(nil)
}

func (s timeSeries) points(ts *easyproto.MessageMarshaler, histogram, exemplar uint32) {
	for i, v := range s.samples {
		x := ts.AppendMessage(2)
		x.AppendDouble(1, v)
		x.AppendInt64(2, received+int64(i))
	}
	for range s.histograms {
		ts.AppendMessage(histogram).AppendDouble(3, 1)
	}
	for range s.exemplars {
		ts.AppendMessage(exemplar).AppendDouble(2, 1)
	}
}

// fakeHeader is the header of a request.
type fakeHeader map[string]string

func (h fakeHeader) Peek(name string) []byte { return []byte(h[name]) }

// answered takes a request through the dialect as the listener does, without
// intake: what is valid is accepted.
func answered(t *testing.T, cfg Config, contentType, encoding string, body []byte, fault *dialect.Fault) (a dialect.Answer, stored []string) {
	t.Helper()
	d := New(cfg, limits)
	r := &dialect.Request{Method: []byte("POST"), Path: []byte("/api/v1/write"), ContentType: []byte(contentType),
		Header: fakeHeader{"Content-Encoding": encoding}, Partial: true}
	var pool event.Pool
	b := pool.Get(len(body))
	defer b.Release()
	b.Body, b.ReceivedAt = append(b.Body, body...), received
	err := d.Begin(r)
	if err == nil {
		err = d.Decode(r, b)
	}
	o := dialect.Outcome{Fault: fault}
	if f, ok := errors.AsType[*dialect.Fault](err); ok {
		o.Fault = f
	} else if refusal, ok := errors.AsType[*event.Refusal](err); ok {
		o.Fault = &dialect.Fault{Status: 400, Code: refusal.Cause.String(), Detail: refusal.Detail}
	}
	if o.Fault == nil {
		o.Batch, o.Received, o.Accepted, o.Rejected = b, b.Total, len(b.Events), b.Rejected()
		for i := range b.Events {
			e := &b.Events[i]
			for _, f := range b.Fields(e) {
				stored = append(stored, fmt.Sprint(f.Name, " ", e.Device, " ", b.Tags(e), " ", f.Value))
			}
		}
	}
	d.Answer(r, &o, &a)
	return a, stored
}

func headers(a *dialect.Answer) string {
	var all []string
	for i := range a.Fields() {
		name, value := a.Field(i)
		all = append(all, strings.TrimSuffix(strings.TrimPrefix(name, "X-Prometheus-Remote-Write-"), "-Written")+"="+string(value))
	}
	return strings.Join(all, " ")
}

// TestCompliance has the cases of Prometheus' compliance suite for receivers,
// in both versions.
func TestCompliance(t *testing.T) {
	cfg := DefaultConfig()
	cfg.DefaultDevice = "none"
	stale, long := math.Float64frombits(staleNaN), strings.Repeat("x", 1025)
	good := []string{"__name__", "up", "instance", "host:9100", "job", "node"}
	values := map[string]float64{"1": 1, "stale": stale, "NaN": math.NaN(), "+Inf": math.Inf(1), "-Inf": math.Inf(-1)}
	type result struct {
		status  int
		written string
		stored  int
	}
	for _, c := range []struct {
		name    string
		request written
		want    result
		body    string // a part of it
	}{
		{"nothing", written{}, result{204, "0", 0}, ""},
		{"no device at all", written{{labels: []string{"__name__", "up"}, samples: []float64{1}}}, result{204, "1", 1}, ""},
		{"newlines in a value", written{{labels: []string{"__name__", "up", "job", "a\nb\n"}, samples: []float64{1}}}, result{204, "1", 1}, ""},
		{"dots in names", written{{labels: []string{"__name__", "a.b.c", "job.name", "x"}, samples: []float64{1}}}, result{204, "1", 1}, ""},
		{"spaces in names", written{{labels: []string{"__name__", "a b c", "job name", "x"}, samples: []float64{1}}}, result{204, "1", 1}, ""},
		{"no labels", written{{samples: []float64{1}}}, result{400, "0", 0}, "the series has no label __name__"},
		{"no name", written{{labels: []string{"job", "x"}, samples: []float64{1}}}, result{400, "0", 0}, `its first label is "job"="x"`},
		{"one of three without a name", written{{labels: good, samples: []float64{1}}, {labels: []string{"job", "x"}, samples: []float64{1}}, {labels: good, samples: []float64{1}}}, result{400, "2", 2}, "sample 1"},
		{"a name twice", written{{labels: []string{"__name__", "up", "job", "a", "job", "b"}, samples: []float64{1}}}, result{400, "0", 0}, "same name"},
		{"labels unsorted", written{{labels: []string{"job", "a", "a", "b", "__name__", "up"}, samples: []float64{1}}}, result{204, "1", 1}, ""},
		{"an empty label", written{{labels: []string{"__name__", "up", "job", ""}, samples: []float64{1}}}, result{204, "1", 1}, ""},
		{"several samples", written{{labels: good, samples: []float64{1, 2, stale, 3}}}, result{204, "4", 3}, ""},
		{"exemplars are no fault", written{{labels: good, samples: []float64{1}, exemplars: 2}}, result{204, "1", 1}, ""},
		{"exemplars alone", written{{labels: good, exemplars: 2}}, result{204, "0", 0}, ""},
		{"a native histogram", written{{labels: good, histograms: 1}}, result{400, "0", 0}, "native histogram"},
		{"samples beside a native histogram", written{{labels: good, histograms: 1}, {labels: good, samples: []float64{1, 2}}}, result{400, "2", 2}, "native histogram"},
		{"a long value", written{{labels: append([]string{"long", long}, good...), samples: []float64{1}}}, result{400, "0", 0}, "/labels/long"},
	} {
		for version, body := range map[string][]byte{"": c.request.v1(), ";proto=prometheus.WriteRequest": c.request.v1(), ";proto=io.prometheus.write.v2.Request": c.request.v2()} {
			t.Run(c.name+version, func(t *testing.T) {
				a, stored := answered(t, cfg, "application/x-protobuf"+version, "snappy", body, nil)
				want := "Samples=" + c.want.written + " Histograms=0 Exemplars=0"
				if a.Status != c.want.status || headers(&a) != want || len(stored) != c.want.stored || !bytes.Contains(a.Body, []byte(c.body)) {
					t.Errorf("answered %d %s %s, stored %d; want %+v and %q", a.Status, headers(&a), a.Body, len(stored), c.want, c.body)
				}
			})
		}
	}
	for name, v := range values {
		for _, body := range [][]byte{written{{labels: good, samples: []float64{v}}}.v1()} {
			a, stored := answered(t, cfg, "application/x-protobuf", "snappy", body, nil)
			if kept := v == v; a.Status != 204 || headers(&a) != "Samples=1 Histograms=0 Exemplars=0" || (len(stored) == 1) != kept {
				t.Errorf("%s: answered %d %s, stored %q", name, a.Status, headers(&a), stored)
			}
		}
	}
}

// TestNegotiation sends what is not remote write, or not what it says.
func TestNegotiation(t *testing.T) {
	r := written{{labels: []string{"__name__", "up", "instance", "h"}, samples: []float64{1}}}
	const pb = "application/x-protobuf"
	for _, c := range []struct {
		contentType, encoding string
		body                  []byte
		status                int
	}{
		{pb, "snappy", r.v1(), 204},
		{"", "snappy", r.v1(), 204},
		{pb, "zstd", r.v1(), 204},
		{pb + "; proto=\"io.prometheus.write.v2.Request\"", "snappy", r.v2(), 204},
		{"application/json", "snappy", r.v1(), 415},
		{"image/png", "snappy", r.v1(), 415},
		{pb + ";proto=io.prometheus.write.v3.Request", "snappy", r.v1(), 415},
		{pb, "gzip", r.v1(), 415},
		{pb, "deflate", r.v1(), 415},
		{pb, "", r.v1(), 415},
		{pb, "snappy", []byte("0nonsense"), 400},
		{pb, "snappy", r.v2(), 400},
		{pb + ";proto=io.prometheus.write.v2.Request", "snappy", r.v1(), 400},
	} {
		a, _ := answered(t, DefaultConfig(), c.contentType, c.encoding, c.body, nil)
		if a.Status != c.status || !strings.Contains(headers(&a), "Samples=") {
			t.Errorf("%q %q: answered %d %s %s, want %d", c.contentType, c.encoding, a.Status, headers(&a), a.Body, c.status)
		}
	}
}

// TestDevice shows where the device comes from, and what becomes of the label.
func TestDevice(t *testing.T) {
	list := func(labels ...string) Config {
		c := DefaultConfig()
		c.DeviceLabels = labels
		return c
	}
	for _, c := range []struct {
		cfg    Config
		labels []string
		want   string
	}{
		{DefaultConfig(), []string{"device", "d", "instance", "i"}, "[up d [{instance i}] 1]"},
		{DefaultConfig(), []string{"instance", "i"}, "[up i [{instance i}] 1]"},
		{DefaultConfig(), []string{"device", "", "instance", "i"}, "[up i [{instance i}] 1]"},
		{DefaultConfig(), []string{"job", "j"}, "[]"},
		{list("instance"), []string{"device", "eth0", "instance", "i"}, "[up i [{exported_device eth0} {instance i}] 1]"},
		{list("instance"), []string{"device", "eth0", "exported_device", "x", "instance", "i"}, "[]"},
		{list("host", "instance"), []string{"host", "h", "instance", "i"}, "[up h [{host h} {instance i}] 1]"},
		{DefaultConfig(), []string{"instance", "a\x00b"}, "[]"},
		{DefaultConfig(), []string{"instance", strings.Repeat("x", 129)}, "[]"},
	} {
		body := written{{labels: append([]string{"__name__", "up"}, c.labels...), samples: []float64{1}}}.v1()
		if _, stored := answered(t, c.cfg, "application/x-protobuf", "snappy", body, nil); fmt.Sprint(stored) != c.want {
			t.Errorf("%q: stored %v, want %s", c.labels, stored, c.want)
		}
	}
}

// TestStatuses holds the answers to what Prometheus and vmagent make of them.
func TestStatuses(t *testing.T) {
	for _, c := range []struct {
		fault dialect.Fault
		want  int
		again bool // Retry-After is set
	}{
		{dialect.Fault{Status: 400, Class: dialect.Permanent}, 400, false},
		{dialect.Fault{Status: 422, Class: dialect.Permanent}, 400, false},
		{dialect.Fault{Status: 415, Class: dialect.Permanent}, 415, false},
		{dialect.Fault{Status: 413, Class: dialect.TooLarge}, 400, false},
		{dialect.Fault{Status: 401, Class: dialect.Denied}, 401, false},
		{dialect.Fault{Status: 403, Class: dialect.Denied}, 403, false},
		{dialect.Fault{Status: 429, Class: dialect.Quota, RetryAfter: 7}, 503, true},
		{dialect.Fault{Status: 503, Class: dialect.Overload, RetryAfter: 7}, 503, true},
		{dialect.Fault{Status: 500, Class: dialect.Overload, RetryAfter: 7}, 503, true},
		{dialect.Fault{Status: 408, Class: dialect.Overload, RetryAfter: 7}, 503, true},
	} {
		a, _ := answered(t, DefaultConfig(), "application/x-protobuf", "snappy", nil, &c.fault)
		if a.Status != c.want || strings.Contains(headers(&a), "Retry-After=7") != c.again {
			t.Errorf("%+v: answered %d %s, want %d", c.fault, a.Status, headers(&a), c.want)
		}
	}
	cfg := DefaultConfig()
	cfg.QuotaStatus = 429
	if a, _ := answered(t, cfg, "application/x-protobuf", "snappy", nil, &dialect.Fault{Status: 429, Class: dialect.Quota}); a.Status != 429 {
		t.Errorf("with quota_status 429 a quota is answered %d", a.Status)
	}
}

// TestLimits pushes against the bounds on what a body can make of itself.
func TestLimits(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MaxSamples = 10
	good := []string{"__name__", "up", "instance", "h"}
	for name, body := range map[string][]byte{
		"samples":       written{{labels: good, samples: make([]float64, 11)}}.v1(),
		"stale markers": written{{labels: good, samples: bytesOf(11, math.Float64frombits(staleNaN))}}.v1(),
		"histograms":    written{{labels: good, histograms: 11}}.v1(),
	} {
		if a, _ := answered(t, cfg, "application/x-protobuf", "snappy", body, nil); a.Status != 400 || !bytes.Contains(a.Body, []byte("more than 10 samples")) {
			t.Errorf("%s: answered %d %s", name, a.Status, a.Body)
		}
	}
	symbols := written{{labels: make([]string, 2*symbolsPerSample*cfg.MaxSamples)}}.v2()
	if a, _ := answered(t, cfg, "application/x-protobuf;proto=io.prometheus.write.v2.Request", "snappy", symbols, nil); a.Status != 400 || !bytes.Contains(a.Body, []byte("symbols")) {
		t.Errorf("symbols: answered %d %s", a.Status, a.Body)
	}
}

func bytesOf(n int, v float64) []float64 {
	all := make([]float64, n)
	for i := range all {
		all[i] = v
	}
	return all
}
