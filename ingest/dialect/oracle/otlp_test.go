package oracle

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"

	"github.com/penstock-io/penstock/ingest/dialect/otlp"
	"github.com/penstock-io/penstock/ingest/event"
)

var otlpConfig = otlp.Config{
	DeviceAttributes:   []string{"device.id", "host.name"},
	ResourceAttributes: []string{"service.name"},
	Delta:              "reject", MaxSamples: 200, MaxAttributes: 8, MaxAttributeBytes: 100, QuotaStatus: 503,
}

var (
	metricNamer = otlptranslator.NewMetricNamer("", otlptranslator.UnderscoreEscapingWithSuffixes)
	labelNamer  = otlptranslator.LabelNamer{}
)

// outcome is what becomes of data points.
type outcome struct {
	stored   []string
	rejected int
	skipped  int
}

// translated says what becomes of metrics by the rules in otlp's
// documentation: names by Prometheus' translator, the rest without regard to
// cost.
func translated(md pmetric.Metrics) (o outcome) {
	for _, rm := range md.ResourceMetrics().All() {
		device, ok := deviceOf(rm.Resource().Attributes())
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				o.metric(rm.Resource().Attributes(), device, ok, m)
			}
		}
	}
	return o
}

func deviceOf(attributes pcommon.Map) (string, bool) {
	for _, key := range otlpConfig.DeviceAttributes {
		if v, ok := attributes.Get(key); ok && text(v) != "" {
			d := text(v)
			return d, len(d) <= limits.MaxDeviceBytes && utf8.ValidString(d) && !strings.ContainsFunc(d, func(r rune) bool {
				return r < ' ' || r >= 0x7f && r <= 0x9f
			})
		}
	}
	return "", false
}

// text is an attribute's value as text.
func text(v pcommon.Value) string {
	switch v.Type() {
	case pcommon.ValueTypeDouble:
		x := v.Double()
		if math.IsNaN(x) {
			return "NaN"
		} else if math.IsInf(x, 0) {
			return fmt.Sprintf("%+f", x)
		}
	case pcommon.ValueTypeBytes:
		return base64.StdEncoding.EncodeToString(v.Bytes().AsRaw())
	}
	return v.AsString()
}

func (o *outcome) metric(resource pcommon.Map, device string, ok bool, m pmetric.Metric) {
	kind, temporality := otlptranslator.MetricType(otlptranslator.MetricTypeUnknown), pmetric.AggregationTemporalityCumulative
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		kind = otlptranslator.MetricTypeGauge
	case pmetric.MetricTypeSum:
		kind = otlptranslator.MetricTypeNonMonotonicCounter
		temporality = m.Sum().AggregationTemporality()
		if m.Sum().IsMonotonic() {
			kind = otlptranslator.MetricTypeMonotonicCounter
		}
	case pmetric.MetricTypeHistogram:
		kind, temporality = otlptranslator.MetricTypeHistogram, m.Histogram().AggregationTemporality()
	case pmetric.MetricTypeExponentialHistogram:
		kind, temporality = otlptranslator.MetricTypeExponentialHistogram, m.ExponentialHistogram().AggregationTemporality()
	case pmetric.MetricTypeSummary:
		kind = otlptranslator.MetricTypeSummary
	}
	name, err := metricNamer.Build(otlptranslator.Metric{Name: m.Name(), Unit: m.Unit(), Type: kind})
	if err != nil || len(name)+len("_bucket") > limits.MaxNameBytes || temporality != pmetric.AggregationTemporalityCumulative {
		ok = false
	}
	point := func(attributes pcommon.Map, nanos pcommon.Timestamp, flags pmetric.DataPointFlags, reserved string) func(suffix, label string, v float64) {
		tags, good := tagsOf(resource, attributes)
		ts := int64(uint64(nanos) / 1e6)
		switch {
		case !ok || !good:
			o.rejected++
		case flags.NoRecordedValue():
			o.skipped++
		case ts < received-24*3600*1000 || ts > received+600*1000:
			o.rejected++
		case slices.ContainsFunc(tags, func(t string) bool { return strings.HasPrefix(t, reserved+"=") }):
			o.rejected++
		default:
			return func(suffix, label string, v float64) {
				all := slices.Clone(tags)
				if label != "" {
					all = append(all, label)
				}
				slices.Sort(all)
				o.stored = append(o.stored, fmt.Sprintf("%s%s %q %q %d %v", name, suffix, device, all, ts, v))
			}
		}
		return nil
	}
	number := func(p pmetric.NumberDataPoint) {
		add := point(p.Attributes(), p.Timestamp(), p.Flags(), "-")
		switch v := p.DoubleValue(); {
		case add == nil:
		case p.ValueType() == pmetric.NumberDataPointValueTypeEmpty:
			o.rejected++
		case p.ValueType() == pmetric.NumberDataPointValueTypeInt:
			add("", "", float64(p.IntValue()))
		case math.IsNaN(v):
			o.skipped++
		default:
			add("", "", v)
		}
	}
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		for _, p := range m.Gauge().DataPoints().All() {
			number(p)
		}
	case pmetric.MetricTypeSum:
		for _, p := range m.Sum().DataPoints().All() {
			number(p)
		}
	case pmetric.MetricTypeHistogram:
		for _, p := range m.Histogram().DataPoints().All() {
			add := point(p.Attributes(), p.Timestamp(), p.Flags(), "le")
			if add == nil {
				continue
			}
			counts, bounds := p.BucketCounts().AsRaw(), p.ExplicitBounds().AsRaw()
			bad := len(counts) != len(bounds)+1 && len(counts)+len(bounds) > 0
			for i := range bounds {
				bad = bad || math.IsNaN(bounds[i]) || i > 0 && bounds[i] <= bounds[i-1]
			}
			if bad {
				o.rejected++
				continue
			}
			if p.HasSum() && !math.IsNaN(p.Sum()) {
				add("_sum", "", p.Sum())
			}
			add("_count", "", float64(p.Count()))
			n := uint64(0)
			for i, b := range bounds {
				if math.IsInf(b, 1) {
					break
				}
				n += counts[i]
				add("_bucket", "le="+bound(b), float64(n))
			}
			add("_bucket", "le=+Inf", float64(p.Count()))
		}
	case pmetric.MetricTypeExponentialHistogram:
		for _, p := range m.ExponentialHistogram().DataPoints().All() {
			add := point(p.Attributes(), p.Timestamp(), p.Flags(), "vmrange")
			if add == nil {
				continue
			}
			if p.Scale() < -20 || p.Scale() > 20 {
				o.rejected++
				continue
			}
			if p.HasSum() && !math.IsNaN(p.Sum()) {
				add("_sum", "", p.Sum())
			}
			add("_count", "", float64(p.Count()))
			if p.ZeroCount() > 0 {
				add("_bucket", fmt.Sprintf("vmrange=%.3e...%.3e", -p.ZeroThreshold(), p.ZeroThreshold()), float64(p.ZeroCount()))
			}
			base := func(n float64) float64 { return math.Pow(2, n*math.Pow(2, -float64(p.Scale()))) }
			for i, n := range p.Positive().BucketCounts().AsRaw() {
				if at := float64(p.Positive().Offset()) + float64(i); n > 0 {
					add("_bucket", fmt.Sprintf("vmrange=%.3e...%.3e", base(at), base(at+1)), float64(n))
				}
			}
			for i, n := range p.Negative().BucketCounts().AsRaw() {
				if at := float64(p.Negative().Offset()) + float64(i); n > 0 {
					add("_bucket", fmt.Sprintf("vmrange=%.3e...%.3e", -base(at+1), -base(at)), float64(n))
				}
			}
		}
	case pmetric.MetricTypeSummary:
		for _, p := range m.Summary().DataPoints().All() {
			add := point(p.Attributes(), p.Timestamp(), p.Flags(), "quantile")
			if add == nil {
				continue
			}
			if !math.IsNaN(p.Sum()) {
				add("_sum", "", p.Sum())
			}
			add("_count", "", float64(p.Count()))
			for _, q := range p.QuantileValues().All() {
				if !math.IsNaN(q.Value()) {
					add("", "quantile="+bound(q.Quantile()), q.Value())
				}
			}
		}
	}
}

func bound(x float64) string {
	if a := math.Abs(x); a != 0 && (a < 1e-30 || a > 1e30) {
		return strconv.FormatFloat(x, 'e', -1, 64)
	}
	return strconv.FormatFloat(x, 'f', -1, 64)
}

func tagName(key string) string {
	if len(key) > limits.MaxNameBytes {
		return ""
	}
	name, err := labelNamer.Build(key)
	if err != nil || strings.HasPrefix(name, "__") || len(name) > limits.MaxNameBytes {
		return ""
	}
	if name == "device" {
		return "exported_device"
	}
	return name
}

func tagsOf(resource, attributes pcommon.Map) (tags []string, ok bool) {
	seen := map[string]bool{}
	add := func(key string, v pcommon.Value, wins bool) bool {
		value := text(v)
		if value == "" {
			return true
		}
		name := tagName(key)
		if name != "" && seen[name] && !wins {
			return true
		}
		if name == "" || seen[name] || len(value) > otlpConfig.MaxAttributeBytes || !utf8.ValidString(value) || len(tags) == otlpConfig.MaxAttributes {
			return false
		}
		seen[name] = true
		tags = append(tags, name+"="+value)
		return true
	}
	ok = true
	for key, v := range attributes.All() {
		ok = ok && add(key, v, true)
	}
	for _, key := range otlpConfig.ResourceAttributes {
		if v, there := resource.Get(key); there {
			ok = ok && add(key, v, false)
		}
	}
	return tags, ok
}

// otlpGot says what becomes of a body.
func otlpGot(t *testing.T, body []byte, isJSON bool) (o outcome, err error) {
	t.Helper()
	var pool event.Pool
	b := pool.Get(len(body))
	defer b.Release()
	b.Body, b.ReceivedAt = append(b.Body, body...), received
	counts, err := otlp.NewDecoder(otlpConfig, limits).Decode(b, isJSON)
	if refusal, ok := errors.AsType[*event.Refusal](err); ok {
		if refusal.Cause == event.Internal {
			t.Fatal(err)
		}
		return o, err
	}
	o.rejected, o.skipped = counts.Rejected, counts.Skipped
	for i := range b.Events {
		e := &b.Events[i]
		tags := []string{}
		for _, l := range b.Tags(e) {
			tags = append(tags, l.Name+"="+l.Value)
		}
		slices.Sort(tags)
		for _, f := range b.Fields(e) {
			o.stored = append(o.stored, fmt.Sprintf("%s %q %q %d %v", f.Name, e.Device, tags, e.Timestamp, f.Value))
		}
	}
	if b.Total != len(b.Events)+b.Rejected() || b.Rejected() != counts.Rejected {
		t.Fatalf("total is %d with %d events and %d rejected, %d by decoding", b.Total, len(b.Events), b.Rejected(), counts.Rejected)
	}
	return o, nil
}

// metrics makes one of each kind of data point, and of each kind of fault.
func metrics() pmetric.Metrics {
	md := pmetric.NewMetrics()
	resource := func(attributes map[string]any) pmetric.MetricSlice {
		rm := md.ResourceMetrics().AppendEmpty()
		if err := rm.Resource().Attributes().FromRaw(attributes); err != nil {
			panic(err)
		}
		return rm.ScopeMetrics().AppendEmpty().Metrics()
	}
	const now = pcommon.Timestamp(received * 1_000_000)
	all := resource(map[string]any{"device.id": "pump-17", "host.name": "h", "service.name": "pumps", "other": 1})
	add := func(name, unit string) pmetric.Metric {
		m := all.AppendEmpty()
		m.SetName(name)
		m.SetUnit(unit)
		m.SetDescription("words")
		return m
	}
	number := func(p pmetric.NumberDataPoint, v float64, attributes map[string]any) pmetric.NumberDataPoint {
		p.SetTimestamp(now)
		p.SetStartTimestamp(now - 1e9)
		p.SetDoubleValue(v)
		if err := p.Attributes().FromRaw(attributes); err != nil {
			panic(err)
		}
		return p
	}
	g := add("pump.temperature", "Cel").SetEmptyGauge().DataPoints()
	number(g.AppendEmpty(), 21.5, map[string]any{"http.method": "GET", "1st": true, "n": int64(7), "x": 0.5, "device": "eth0", "_": "x"})
	number(g.AppendEmpty(), 21.5, map[string]any{"http.method": "GET", "service.name": "own", "bytes": []byte("abc")})
	number(g.AppendEmpty(), math.NaN(), nil)
	number(g.AppendEmpty(), math.Inf(1), nil)
	number(g.AppendEmpty(), 1, nil).SetIntValue(-42)
	number(g.AppendEmpty(), 1, nil).SetTimestamp(0)
	number(g.AppendEmpty(), 1, nil).SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
	number(g.AppendEmpty(), 1, map[string]any{"a.b": "1", "a_b": "2"})
	number(g.AppendEmpty(), 1, map[string]any{"long": strings.Repeat("x", 101)})
	number(g.AppendEmpty(), 1, map[string]any{"__x__": "y"})
	g.AppendEmpty().SetTimestamp(now)
	number(add("load", "1").SetEmptyGauge().DataPoints().AppendEmpty(), 0.5, nil)
	number(add("__", "").SetEmptyGauge().DataPoints().AppendEmpty(), 0.5, nil)
	for _, temporality := range []pmetric.AggregationTemporality{0, 1, 2} {
		for _, monotonic := range []bool{false, true} {
			s := add("http.requests", "{request}/min").SetEmptySum()
			s.SetAggregationTemporality(temporality)
			s.SetIsMonotonic(monotonic)
			number(s.DataPoints().AppendEmpty(), 5, nil)
		}
	}
	h := add("http.server.duration", "ms").SetEmptyHistogram()
	h.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	for i := range 4 {
		p := h.DataPoints().AppendEmpty()
		p.SetTimestamp(now)
		p.SetCount(6)
		p.SetSum(12.5)
		switch i {
		case 0:
			p.ExplicitBounds().FromRaw([]float64{0.005, 1, 1e40})
			p.BucketCounts().FromRaw([]uint64{1, 2, 3, 0})
			p.Attributes().PutStr("route", "/x")
			p.Exemplars().AppendEmpty().SetDoubleValue(1)
		case 1:
			p.RemoveSum()
		case 2:
			p.ExplicitBounds().FromRaw([]float64{1})
			p.BucketCounts().FromRaw([]uint64{1})
		case 3:
			p.Attributes().PutStr("le", "x")
		}
	}
	e := add("sizes", "By").SetEmptyExponentialHistogram()
	e.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	p := e.DataPoints().AppendEmpty()
	p.SetTimestamp(now)
	p.SetCount(9)
	p.SetSum(99)
	p.SetScale(3)
	p.SetZeroCount(2)
	p.SetZeroThreshold(1e-9)
	p.Positive().SetOffset(-5)
	p.Positive().BucketCounts().FromRaw([]uint64{1, 0, 3})
	p.Negative().SetOffset(7)
	p.Negative().BucketCounts().FromRaw([]uint64{0, 3})
	q := add("rpc.latency", "s").SetEmptySummary().DataPoints().AppendEmpty()
	q.SetTimestamp(now)
	q.SetCount(3)
	q.SetSum(4)
	for quantile, v := range map[float64]float64{0.5: 1, 0.99: math.NaN()} {
		x := q.QuantileValues().AppendEmpty()
		x.SetQuantile(quantile)
		x.SetValue(v)
	}
	add("nothing", "")
	all = resource(map[string]any{"service.name": "pumps"})
	number(add("no.device", "").SetEmptyGauge().DataPoints().AppendEmpty(), 1, nil)
	all = resource(map[string]any{"host.name": "a\nb"})
	number(add("bad.device", "").SetEmptyGauge().DataPoints().AppendEmpty(), 1, nil)
	return md
}

// TestOTLP holds both forms to the reference's reading of them.
func TestOTLP(t *testing.T) {
	md := metrics()
	want := translated(md)
	r := pmetricotlp.NewExportRequestFromMetrics(md)
	binary, err := r.MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	text, err := r.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, isJSON := range []bool{false, true} {
		body := binary
		if isJSON {
			body = text
		}
		got, err := otlpGot(t, body, isJSON)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("JSON %v:\n got %d rejected, %d skipped\n%s\nwant %d rejected, %d skipped\n%s", isJSON,
				got.rejected, got.skipped, strings.Join(got.stored, "\n"), want.rejected, want.skipped, strings.Join(want.stored, "\n"))
		}
	}
	if len(want.stored) < 20 || want.rejected < 10 || want.skipped != 2 {
		t.Errorf("the test has lost its cases: %d stored, %d rejected, %d skipped", len(want.stored), want.rejected, want.skipped)
	}
}

func FuzzOTLPNames(f *testing.F) {
	for _, s := range [][2]string{{"http.server.duration", "ms"}, {"a_total", "1"}, {"9lives", "By/s"}, {"x", "m/"}, {"system.io", "{op}/s"}, {"a", "_per_/_"}, {"ratio", "1"}, {"k", "/s"}, {"v__w", "km^2/h"}} {
		f.Add(s[0], s[1], uint8(0))
		f.Add(s[0], s[1], uint8(1))
	}
	f.Fuzz(func(t *testing.T, name, unit string, kind uint8) {
		if !utf8.ValidString(name) || !utf8.ValidString(unit) {
			return // pdata writes them, protobuf does not know them
		}
		md := pmetric.NewMetrics()
		rm := md.ResourceMetrics().AppendEmpty()
		rm.Resource().Attributes().PutStr("device.id", "d")
		m := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
		m.SetName(name)
		m.SetUnit(unit)
		var p pmetric.NumberDataPoint
		if kind&1 == 0 {
			p = m.SetEmptyGauge().DataPoints().AppendEmpty()
		} else {
			s := m.SetEmptySum()
			s.SetIsMonotonic(kind&2 != 0)
			s.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
			p = s.DataPoints().AppendEmpty()
		}
		p.SetTimestamp(received * 1_000_000)
		p.SetDoubleValue(1)
		p.Attributes().PutStr(name, "v")
		compareOTLP(t, md)
	})
}

// compareOTLP sends metrics in both forms.
func compareOTLP(t *testing.T, md pmetric.Metrics) {
	want := translated(md)
	r := pmetricotlp.NewExportRequestFromMetrics(md)
	for _, isJSON := range []bool{false, true} {
		marshal := r.MarshalProto
		if isJSON {
			marshal = r.MarshalJSON
		}
		body, err := marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := otlpGot(t, body, isJSON)
		if err != nil {
			if refusal, ok := errors.AsType[*event.Refusal](err); ok && refusal.Cause == event.TooManyEvents {
				return
			}
			t.Fatal(err)
		}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Fatalf("JSON %v: got\n%+v\nwant\n%+v", isJSON, got, want)
		}
	}
}

func FuzzOTLP(f *testing.F) {
	binary, err := pmetricotlp.NewExportRequestFromMetrics(metrics()).MarshalProto()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(binary)
	f.Fuzz(func(t *testing.T, body []byte) {
		r := pmetricotlp.NewExportRequest()
		if r.UnmarshalProto(body) != nil {
			otlpGot(t, body, false) // no panic
			otlpGot(t, body, true)
			return
		}
		otlpGot(t, body, false)
	})
}
