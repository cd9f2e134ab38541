package e2e

import (
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// reading is a row of a file of the Numenta Anomaly Benchmark.
type reading struct {
	at    int64 // ms
	value string
}

// digits returns the number of significant decimal digits of v.
func digits(v float64) int {
	mantissa, _, _ := strings.Cut(strconv.FormatFloat(v, 'e', -1, 64), "e")
	return len(strings.Trim(strings.ReplaceAll(mantissa, ".", ""), "-"))
}

func readNAB(t *testing.T, path string) []reading {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var all []reading
	for _, row := range rows[1:] {
		at, err := time.Parse(time.DateTime, row[0])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, reading{at.UnixMilli(), row[1]})
	}
	return all
}

// TestRealReadingsComeBack sends nine files of real sensor readings as nine
// devices and reads every row back.
//
// The engine stores decimals (lib/decimal), so values of more than 12
// significant digits may come back rounded; how many do is logged. All others
// must be equal bit for bit.
//
// 14 of the timestamps stand twice in a file, with two values (clocks that
// were set back). A series has one value per millisecond, and of two the
// engine keeps the larger, whatever their order; so there the larger is
// expected, once.
func TestRealReadingsComeBack(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(shared(t, "data/nab"), "*.csv"))
	if err != nil || len(files) != 9 {
		t.Fatalf("%d files, want 9; error %v", len(files), err)
	}
	s := start(t, t.TempDir(), "--set", "store.retention=20y")

	want := map[string]map[int64]float64{}
	sent, twice := 0, 0
	for _, file := range files {
		device := strings.TrimSuffix(filepath.Base(file), ".csv")
		want[device] = map[int64]float64{}
		rows := readNAB(t, file)
		for len(rows) > 0 {
			n := min(len(rows), 1000)
			var events []string
			for _, r := range rows[:n] {
				events = append(events, fmt.Sprintf(`{"ts":%d,"values":{"reading":%s}}`, r.at, r.value))
				v, err := strconv.ParseFloat(r.value, 64)
				if err != nil {
					t.Fatal(err)
				}
				if old, ok := want[device][r.at]; ok {
					twice++
					v = max(v, old)
				}
				want[device][r.at] = v
			}
			sent += n
			a := s.mustPost(fmt.Sprintf(`{"device":%q,"events":[%s]}`, device, strings.Join(events, ",")), 204)
			if got := a.header.Get("Penstock-Accepted"); got != strconv.Itoa(n) {
				t.Fatalf("accepted %s of %d", got, n)
			}
			rows = rows[n:]
		}
	}
	t.Logf("sent %d rows, %d of which repeat a timestamp of their device", sent, twice)

	eventually(t, 10*time.Second, func() error {
		if n := samples(s.mustExport(t, `reading`)); n != sent-twice {
			return fmt.Errorf("%d samples are stored, want %d", n, sent-twice)
		}
		return nil
	})
	rounded := 0
	for _, got := range s.mustExport(t, `reading`) {
		rows := want[got.Metric["device"]]
		if len(got.Metric) != 2 || rows == nil || len(got.Timestamps) != len(rows) {
			t.Errorf("series %v has %d samples, want %d", got.Metric, len(got.Timestamps), len(rows))
		}
		for i, at := range got.Timestamps {
			v, err := got.Values[i].Float64()
			w, ok := rows[at]
			switch {
			case err == nil && ok && v == w:
			case err == nil && ok && digits(w) > 12 && math.Abs(v-w) <= 1e-12*math.Abs(w):
				rounded++
			default:
				t.Errorf("%v at %d: stored %v, sent %v", got.Metric, at, got.Values[i], w)
			}
		}
	}
	t.Logf("%d samples read back, %d of them rounded at the 12th significant digit or later", sent-twice, rounded)
}
