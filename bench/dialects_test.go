package bench

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/prompb"
	vmotlp "github.com/VictoriaMetrics/VictoriaMetrics/lib/protoparser/opentelemetry/stream"
	"github.com/VictoriaMetrics/easyproto"

	"github.com/penstock-io/penstock/ingest/dialect"
	"github.com/penstock-io/penstock/ingest/dialect/otlp"
	"github.com/penstock-io/penstock/ingest/dialect/promwrite"
	"github.com/penstock-io/penstock/ingest/event"
)

// dialectLimits are the defaults of the wire contract.
var dialectLimits = dialect.Limits{
	MaxEvents: 10_000, MaxFields: 64, MaxTags: 16, MaxNameBytes: 128, MaxTagBytes: 256, MaxDeviceBytes: 128,
	MaxPast: math.MaxInt64, MaxFuture: 600e9,
}

// samplesPerBody is what Prometheus sends at a time.
const samplesPerBody = 2000

// remoteWrite returns a prometheus.WriteRequest of 1.0 as a scrape of many
// devices makes it: 2000 series of one sample each, with five labels.
func remoteWrite() []byte {
	var mp easyproto.MarshalerPool
	m := mp.Get()
	mm := m.MessageMarshaler()
	for i := range samplesPerBody {
		ts := mm.AppendMessage(1)
		label := func(name, value string) {
			l := ts.AppendMessage(1)
			l.AppendString(1, name)
			l.AppendString(2, value)
		}
		label("__name__", fmt.Sprintf("device_reading_%d", i%3))
		label("device", fmt.Sprintf("pump-%04d", i/3))
		label("firmware", "1.4.2")
		label("instance", "gateway-7.example:9100")
		label("job", "fleet")
		s := ts.AppendMessage(2)
		s.AppendDouble(1, 20+float64(i)/8)
		s.AppendInt64(2, fixedTime)
	}
	return m.Marshal(nil)
}

// remoteWrite2 is the same in 2.0.
func remoteWrite2() []byte {
	var mp easyproto.MarshalerPool
	m := mp.Get()
	mm := m.MessageMarshaler()
	symbols, refs := []string{""}, map[string]uint32{}
	ref := func(s string) uint32 {
		if refs[s] == 0 {
			refs[s] = uint32(len(symbols))
			symbols = append(symbols, s)
		}
		return refs[s]
	}
	var all [][]uint32
	for i := range samplesPerBody {
		var x []uint32
		for _, s := range []string{"__name__", fmt.Sprintf("device_reading_%d", i%3), "device", fmt.Sprintf("pump-%04d", i/3), "firmware", "1.4.2", "instance", "gateway-7.example:9100", "job", "fleet"} {
			x = append(x, ref(s))
		}
		all = append(all, x)
	}
	for _, s := range symbols {
		mm.AppendString(4, s)
	}
	for i, x := range all {
		ts := mm.AppendMessage(5)
		ts.AppendUint32s(1, x)
		s := ts.AppendMessage(2)
		s.AppendDouble(1, 20+float64(i)/8)
		s.AppendInt64(2, fixedTime)
	}
	return m.Marshal(nil)
}

// otlpBody returns an ExportMetricsServiceRequest of 20 resources with 100
// gauge points each.
func otlpBody() []byte {
	var mp easyproto.MarshalerPool
	m := mp.Get()
	mm := m.MessageMarshaler()
	attribute := func(to *easyproto.MessageMarshaler, number uint32, key, value string) {
		kv := to.AppendMessage(number)
		kv.AppendString(1, key)
		kv.AppendMessage(2).AppendString(1, value)
	}
	for r := range 20 {
		rm := mm.AppendMessage(1)
		resource := rm.AppendMessage(1)
		attribute(resource, 1, "device.id", fmt.Sprintf("pump-%04d", r))
		attribute(resource, 1, "service.name", "fleet")
		sm := rm.AppendMessage(2)
		for k := range 5 {
			metric := sm.AppendMessage(2)
			metric.AppendString(1, fmt.Sprintf("device.reading.%d", k))
			metric.AppendString(3, "Cel")
			g := metric.AppendMessage(5)
			for p := range 20 {
				dp := g.AppendMessage(1)
				dp.AppendFixed64(3, uint64(fixedTime)*1e6)
				dp.AppendDouble(4, 20+float64(p)/8)
				attribute(dp, 7, "sensor.name", fmt.Sprintf("s%d", p))
				attribute(dp, 7, "firmware", "1.4.2")
			}
		}
	}
	return m.Marshal(nil)
}

// BenchmarkDialects decodes the same bytes with Penstock's decoders and with
// VictoriaMetrics' parsers, side by side. Penstock's check every name, label
// and time; VictoriaMetrics' leave that to what comes behind them. 2.0 is
// what VictoriaMetrics does not read.
func BenchmarkDialects(b *testing.B) {
	rw, rw2, otel := remoteWrite(), remoteWrite2(), otlpBody()
	decoded := func(body []byte, decode func(x *event.Batch) error) func(b *testing.B) {
		return func(b *testing.B) {
			pool := &event.Pool{}
			m := start(b, samplesPerBody, len(body))
			for range b.N {
				x := pool.Get(len(body))
				x.Body = append(x.Body, body...)
				x.ReceivedAt = fixedTime
				if err := decode(x); err != nil || len(x.Events) != samplesPerBody {
					b.Fatal(err, len(x.Events), x.Rejections)
				}
				x.Release()
			}
			m.stop()
		}
	}
	write := promwrite.NewDecoder(promwrite.DefaultConfig(), dialectLimits)
	metrics := otlp.NewDecoder(otlp.DefaultConfig(), dialectLimits)
	b.Run("write1/penstock", decoded(rw, func(x *event.Batch) error { _, err := write.Decode(x, promwrite.V1); return err }))
	b.Run("write1/victoriametrics", func(b *testing.B) {
		var buf []byte
		m := start(b, samplesPerBody, len(rw))
		for range b.N {
			buf = append(buf[:0], rw...)
			u := prompb.GetWriteRequestUnmarshaler()
			r, err := u.UnmarshalProtobuf(buf)
			if err != nil || len(r.Timeseries) != samplesPerBody {
				b.Fatal(err, len(r.Timeseries))
			}
			prompb.PutWriteRequestUnmarshaler(u)
		}
		m.stop()
	})
	b.Run("write2/penstock", decoded(rw2, func(x *event.Batch) error { _, err := write.Decode(x, promwrite.V2); return err }))
	b.Run("otlp/penstock", decoded(otel, func(x *event.Batch) error { _, err := metrics.Decode(x, false); return err }))
	b.Run("otlp/victoriametrics", func(b *testing.B) {
		m := start(b, samplesPerBody, len(otel))
		for range b.N {
			n := 0
			err := vmotlp.ParseStream(bytes.NewReader(otel), "", nil, func(tss []prompb.TimeSeries, _ []prompb.MetricMetadata) error {
				n += len(tss)
				return nil
			})
			if err != nil || n != samplesPerBody {
				b.Fatal(err, n)
			}
		}
		m.stop()
	})
}
