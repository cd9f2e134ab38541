package influx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	vm "github.com/VictoriaMetrics/VictoriaMetrics/lib/protoparser/influx"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/settings"
	"github.com/penstock-io/penstock/sink"
	"github.com/penstock-io/penstock/sink/sinktest"
)

func TestLine(t *testing.T) {
	t.Parallel()
	b := new(event.Pool).Get(0)
	b.AddTag("site", "device's")
	b.AddTag("fw", `a b,c=d\e"f`)
	b.AddTag("empty", "")
	b.AddField("t", 21.5)
	b.AddField("on", 1)
	b.Commit(0, "pump 1", 1795224292123)
	b.Events[0].Labels = newLabels(t, "site", "Łódź")
	b.AddField("t", -0.25)
	b.Commit(1, "pump 1", -5)
	want := `iot,cluster=c1,device=pump\ 1,fw=a\ b\,c\=d\e"f,site=Łódź t=21.5,on=1 1795224292123` + "\n" +
		`iot,cluster=c1,device=pump\ 1 t=-0.25 -5` + "\n"
	for _, compression := range []string{compressGzip, compressNone} {
		var got string
		w := offline(t, func(c *Config) {
			c.Compression = compression
			c.Measurement = "iot"
			c.Labels = map[string]string{"cluster": "c1"}
		}, func(plain []byte) error {
			got += string(plain)
			return nil
		})
		if err := w.Write(t.Context(), []*event.Batch{b}); err != nil || got != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", compression, err, got, want)
		}
	}
}

func TestFloats(t *testing.T) {
	t.Parallel()
	for _, v := range []float64{0, math.Copysign(0, -1), 1, -1, 0.1, 1e15, 1e15 - 1, 123456789012345680, 1e21, 1e-6, 1e-7,
		math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, math.Pi, 1 << 53} {
		text := string(appendFloat(nil, v))
		got, err := strconv.ParseFloat(text, 64)
		if err != nil || math.Float64bits(got) != math.Float64bits(v) || strings.HasSuffix(text, "i") {
			t.Errorf("%v is written %q", v, text)
		}
	}
}

func TestRefusedHere(t *testing.T) {
	t.Parallel()
	now := time.Now().UnixMilli()
	for _, c := range []struct {
		tag    string
		at     int64
		double bool
		want   string // "" is sent
	}{
		{"a\nb", now, false, "line break"},
		{"a\nb", now, true, "line break"},
		{`a\`, now, false, "ends with a backslash"},
		{`a\`, now, true, ""},
		{"a\rb\tc\x00", now, false, ""},
		{strings.Repeat("x", 5000), now, false, "has 5000 bytes"},
		{"old", now - 3600_000, false, "older than max_age"},
	} {
		b := new(event.Pool).Get(0)
		b.AddTag("tag", c.tag)
		b.AddField("v", 1)
		b.Commit(0, "d", c.at)
		sent := 0
		w := offline(t, func(cfg *Config) { cfg.EscapeBackslash, cfg.MaxAge = c.double, 30*time.Minute }, func([]byte) error {
			sent++
			return nil
		})
		err := w.Write(t.Context(), []*event.Batch{b})
		var refused *sink.Refused
		if c.want == "" {
			if err != nil || sent != 1 {
				t.Errorf("%.20q: %v", c.tag, err)
			}
		} else if !errors.As(err, &refused) || !strings.Contains(refused.Detail, c.want) || sent != 0 {
			t.Errorf("%.20q: %v", c.tag, err)
		}
	}
}

func TestLargeWritesAreSplit(t *testing.T) {
	t.Parallel()
	batches := fleet(t, 500, 20_000, 100, time.Now().UnixMilli())
	got, requests := sinktest.Samples{}, 0
	const limit = 256 << 10
	w := offline(t, func(c *Config) { c.MaxRequestBytes = limit }, func(plain []byte) error {
		requests++
		if len(plain) > limit || plain[len(plain)-1] != '\n' {
			return fmt.Errorf("a request of %d bytes", len(plain))
		}
		return decode(got, plain)
	})
	if err := w.Write(t.Context(), batches); err != nil {
		t.Fatal(err)
	}
	if err := sinktest.Expect("", batches...).Diff(got, 0); err != nil || requests < 5 {
		t.Errorf("%d requests, %v", requests, err)
	}
}

func TestTarget(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cfg  Config
		base string
		want string
	}{
		{Config{}, "http://h:1", "http://h:1/write?precision=ms"},
		{Config{Database: "d b", RetentionPolicy: "r"}, "http://h/", "http://h/write?db=d+b&precision=ms&rp=r"},
		{Config{Bucket: "b", Organization: "o"}, "http://h/insert/0/influx", "http://h/insert/0/influx/api/v2/write?bucket=b&org=o&precision=ms"},
		{Config{Database: "d"}, "http://h?x=y", "http://h/write?db=d&precision=ms&x=y"},
	} {
		base, err := url.Parse(c.base)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.cfg.target(base).String(); got != c.want {
			t.Errorf("%s: %s, want %s", c.base, got, c.want)
		}
	}
}

func TestConfigFaults(t *testing.T) {
	t.Parallel()
	good := DefaultConfig()
	good.URL = "http://h"
	if err := settings.Validate(good); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Config){
		"url: must end before": func(c *Config) { c.URL = "http://h/api/v2/write/?x" },
		"bucket: ":             func(c *Config) { c.Database, c.Bucket = "d", "b" },
		"retention_policy: ":   func(c *Config) { c.RetentionPolicy = "r" },
		"organization: ":       func(c *Config) { c.Organization = "o" },
		"token_file: ":         func(c *Config) { c.Token, c.TokenFile = "a", "b" },
		"token: must not":      func(c *Config) { c.Token, c.BearerToken = "a", "b" },
		"measurement: ":        func(c *Config) { c.Measurement = "#x" },
		"compression: ":        func(c *Config) { c.Compression = "zstd" },
		"max_request_bytes: ":  func(c *Config) { c.MaxRequestBytes = 1 },
		"max_labels: ":         func(c *Config) { c.MaxLabels = 0 },
		"labels.__x: ":         func(c *Config) { c.Labels = map[string]string{"__x": "y"} },
		"timeout: ":            func(c *Config) { c.Timeout = 0 },
	} {
		cfg := good
		change(&cfg)
		if err := settings.Validate(cfg); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("want %q, got: %v", want, err)
		}
	}
}

// FuzzLine holds the lines to InfluxData's decoder, and those with doubled
// backslashes to VictoriaMetrics'.
func FuzzLine(f *testing.F) {
	f.Add([]byte(`pump-17\, =a\`))
	random := rand.NewChaCha8([32]byte{1})
	for range 8 {
		seed := make([]byte, 1000)
		random.Read(seed)
		f.Add(seed)
	}
	got := sinktest.Samples{}
	single := offline(f, func(c *Config) { c.Compression = compressNone }, func(plain []byte) error { return decode(got, plain) })
	double := offline(f, func(c *Config) {
		c.Compression = compressNone
		c.EscapeBackslash = true
	}, func(plain []byte) error { return decodeVM(got, plain) })
	f.Fuzz(func(t *testing.T, in []byte) {
		next := func(n int) int {
			if len(in) == 0 {
				return 0
			}
			x := int(in[0])
			in = in[1:]
			return x % n
		}
		text := func(n int) string {
			n = min(next(n), len(in))
			s := strings.ToValidUTF8(string(in[:n]), "?")
			in = in[n:]
			// InfluxData's decoder takes no control characters; the real store
			// does, see TestHostileTags.
			return strings.Map(func(r rune) rune {
				if unicode.IsControl(r) {
					return '\\'
				}
				return r
			}, s)
		}
		word := func(n int) string { return string(rune('A'+next(26))) + strings.Repeat("x", next(n)) }
		b := new(event.Pool).Get(0)
		trailing := false
		for len(in) > 0 && len(b.Events) < 50 {
			for range next(4) {
				b.AddTag(word(3), text(60))
			}
			for range 1 + next(5) {
				v := float64(next(256)) / 4
				if len(in) >= 8 && next(2) == 1 && len(in) >= 8 {
					if x := math.Float64frombits(binary.BigEndian.Uint64(in)); !math.IsNaN(x) && !math.IsInf(x, 0) {
						v = x
					}
					in = in[8:]
				}
				b.AddField(word(3), v)
			}
			// Each event has a time of its own.
			b.Commit(len(b.Events), "d"+text(9), 1_000_000_000_000+int64(len(b.Events)))
			e := &b.Events[len(b.Events)-1]
			if next(2) == 1 {
				e.Labels = newLabels(t, word(3), text(30))
			}
			trailing = trailing || strings.HasSuffix(e.Device, `\`)
			for _, l := range append(b.Tags(e), e.Labels.All()...) {
				trailing = trailing || strings.HasSuffix(l.Value, `\`)
			}
		}
		if len(b.Events) == 0 {
			return
		}
		want := sinktest.Expect("", b)
		for w, tolerance := range map[*Writer]float64{single: 0, double: 1e-12} {
			clear(got)
			err := w.Write(t.Context(), []*event.Batch{b})
			var refused *sink.Refused
			if w == single && trailing && errors.As(err, &refused) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := want.Diff(got, tolerance); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// decodeVM is decode with VictoriaMetrics' parser, which may be off in the
// last bits of a value.
func decodeVM(all sinktest.Samples, plain []byte) error {
	var rows vm.Rows
	if err := rows.Unmarshal(string(plain), false); err != nil {
		return err
	}
	for _, r := range rows.Rows {
		tags := map[string]string{}
		for _, x := range r.Tags {
			tags[x.Key] = x.Value
		}
		for _, x := range r.Fields {
			all.Add(sinktest.Series(x.Key, tags), r.Timestamp, x.Value)
		}
	}
	return nil
}
