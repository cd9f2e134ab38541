package embedded

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

// The engine belongs to the process, so the tests that open a store run one
// after another, and those that need a second process run this binary again.
func TestMain(m *testing.M) {
	flag.Parse() // before the first Open, which would parse nothing
	if mode := os.Getenv(childMode); mode != "" {
		os.Exit(child(mode))
	}
	os.Exit(m.Run())
}

// reading is one event.
type reading struct {
	device string
	ts     int64
	tags   []event.Label
	labels *event.Labels
	values []event.Field
}

// value is a reading's only field.
func value(v float64) []event.Field { return []event.Field{{Name: "v", Value: v}} }

// batchOf makes one batch of the readings.
func batchOf(readings ...reading) []*event.Batch {
	b := new(event.Pool).Get(0)
	for i, r := range readings {
		for _, l := range r.tags {
			b.AddTag(l.Name, l.Value)
		}
		for _, f := range r.values {
			b.AddField(f.Name, f.Value)
		}
		b.Commit(i, r.device, r.ts)
		b.Events[len(b.Events)-1].Labels = r.labels
	}
	return []*event.Batch{b}
}

func labels(t testing.TB, pairs ...string) *event.Labels {
	t.Helper()
	var list []event.Label
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, event.Label{Name: pairs[i], Value: pairs[i+1]})
	}
	l, err := event.NewLabels(list)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func testConfig() Config {
	cfg := DefaultConfig()
	cfg.MinFreeDisk = 0
	return cfg
}

// open opens a store in a directory of its own until the test ends.
func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	return openIn(t, t.TempDir(), cfg)
}

func openIn(t testing.TB, dir string, cfg Config) *Store {
	t.Helper()
	s, err := Open(dir, cfg, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

func write(t testing.TB, s *Store, batches []*event.Batch) {
	t.Helper()
	if err := s.Write(t.Context(), batches); err != nil {
		t.Fatal(err)
	}
}

// get asks the store's handler.
func get(s *Store, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	return w
}

// series is a line of an export.
type series struct {
	Metric     map[string]string
	Values     []float64
	Timestamps []int64
}

func (s series) String() string {
	name := s.Metric["__name__"]
	return fmt.Sprintf("%s{device=%q}", name, s.Metric["device"])
}

// export returns every series that matches.
func export(t testing.TB, s *Store, match string) []series {
	t.Helper()
	w := get(s, "/api/v1/export?start=0&match[]="+url.QueryEscape(match))
	if w.Code != http.StatusOK {
		t.Fatalf("export: %d %s", w.Code, w.Body)
	}
	var list []series
	lines := bufio.NewScanner(w.Body)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var x series
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			t.Fatalf("export: %v in %s", err, lines.Text())
		}
		list = append(list, x)
	}
	return list
}

// query returns the value of an instant query with one result, or false.
func query(t testing.TB, s *Store, expr string) (string, bool) {
	t.Helper()
	w := get(s, "/api/v1/query?query="+url.QueryEscape(expr))
	if w.Code != http.StatusOK {
		t.Fatalf("query %s: %d %s", expr, w.Code, w.Body)
	}
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.NewDecoder(w.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Data.Result) != 1 {
		return "", false
	}
	return answer.Data.Result[0].Value[1].(string), true
}

// eventually polls until f returns true.
func eventually(t testing.TB, within time.Duration, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

// fleet makes batches of the reference work: perBatch events each, which have
// three fields and a tag, of devices in turn. Event i has time start + i/devices
// seconds.
func fleet(devices, events, perBatch int, start int64) []*event.Batch {
	var pool event.Pool
	var batches []*event.Batch
	for i := 0; i < events; {
		b := pool.Get(perBatch * 140)
		for j := 0; j < perBatch && i < events; j++ {
			b.AddTag("fw", "1.4.2")
			b.AddField("temperature_c", float64(200+i%97)/10)
			b.AddField("humidity_pct", float64(400+i%301)/10)
			b.AddField("battery_v", float64(330+i%41)/100)
			b.Commit(j, fmt.Sprintf("pump-%06d", i%devices), start+int64(i/devices)*1000)
			i++
		}
		batches = append(batches, b)
	}
	return batches
}

// metricValue returns a metric of the store's own set, or "".
func metricValue(s *metrics.Set, name string) string {
	var text strings.Builder
	s.WritePrometheus(&text)
	for line := range strings.Lines(text.String()) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// syncBuffer is a buffer for several goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
