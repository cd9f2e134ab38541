package sim

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// nab lists the real readings beside the project.
func nab(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../../shared/data/nab/*.csv")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("../shared/data/nab is not there")
		}
		t.Skip("../shared/data/nab is not there")
	}
	return files
}

// Each row of the real files arrives once, with its time and value, read here
// without the code under test.
func TestReplayKeepsEveryRow(t *testing.T) {
	t.Parallel()
	var recordings []*Recording
	want := map[string][]string{}
	for _, file := range nab(t) {
		r, err := ReadRecording(file, "speed")
		if err != nil {
			t.Fatal(err)
		}
		if r.Empty != 0 {
			t.Errorf("%s: %d cells are left out", file, r.Empty)
		}
		recordings = append(recordings, r)
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		lines.Scan()
		for lines.Scan() {
			stamp, value, _ := strings.Cut(lines.Text(), ",")
			at, err := time.Parse("2006-01-02 15:04:05 MST", stamp+" UTC")
			if err != nil {
				t.Fatal(err)
			}
			x, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			want[r.Device] = append(want[r.Device], fmt.Sprintf("%d speed %v", at.UnixMilli(), x))
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := &stub{t: t, answer: always(204)}
	c := s.client()
	if err := Replay(t.Context(), c, recordings, ReplayConfig{KeepTimestamps: true, MaxEvents: 500}); err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	total := 0
	for _, e := range s.got {
		for _, x := range e.Events {
			got[e.Device] = append(got[e.Device], fmt.Sprintf("%d speed %v", x.TS, x.Values["speed"]))
			total++
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d devices, want %d", len(got), len(want))
	}
	for device, rows := range want {
		// Daylight saving makes a few rows of the files step back in time.
		if !sameRows(got[device], rows) {
			t.Errorf("%s: %d rows differ from the %d of the file", device, len(got[device]), len(rows))
		}
	}
	if n := c.Stats.Counts(); n.Acknowledged != uint64(total) || total < 45_000 {
		t.Errorf("%d rows, %d acknowledged", total, n.Acknowledged)
	}
}

func sameRows(a, b []string) bool {
	count := map[string]int{}
	for _, x := range a {
		count[x]++
	}
	for _, x := range b {
		count[x]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

func TestReplayMovesTheEndToNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &stub{t: t, answer: always(204)}
		now := time.Now().UnixMilli()
		r := &Recording{Device: "d", Rows: []Event{{TS: 1000}, {TS: 4000}, {TS: 9000}}}
		if err := Replay(t.Context(), s.client(), []*Recording{r}, ReplayConfig{MaxEvents: 2}); err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, e := range s.got {
			for _, x := range e.Events {
				got = append(got, x.TS-now)
			}
		}
		if !reflect.DeepEqual(got, []int64{-8000, -5000, 0}) || len(s.got) != 2 {
			t.Errorf("got %v in %d envelopes", got, len(s.got))
		}
	})
}

func TestReplayKeepsItsSpeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &stub{t: t, answer: always(204)}
		begin := time.Now()
		r := &Recording{Device: "d", Rows: []Event{{TS: 0}, {TS: 60_000}, {TS: 60_000}, {TS: 180_000}}}
		if err := Replay(t.Context(), s.client(), []*Recording{r}, ReplayConfig{Speed: 60, MaxEvents: 100}); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range s.got {
			got = append(got, fmt.Sprint(e.at.Sub(begin), len(e.Events), e.Events[0].TS-begin.UnixMilli()))
		}
		if want := []string{"0s 1 0", "1s 2 1000", "3s 1 3000"}; !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestParseRecording(t *testing.T) {
	t.Parallel()
	r, err := parseRecording(strings.NewReader("time,Temp °C,2nd,__x\n1795224292,1.5,NaN,\n2026-11-20T00:00:00Z,-2e3,0,7\n2026-11-19 23:59:59,,,\n"), "")
	if err != nil {
		t.Fatal(err)
	}
	want := []Event{
		{TS: 1795132800000, Values: map[string]any{"Temp__C": -2000.0, "_2nd": 0.0, "x_x": 7.0}},
		{TS: 1795224292000, Values: map[string]any{"Temp__C": 1.5}},
	}
	if want[0].TS != time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC).UnixMilli() {
		t.Fatal("the test is wrong")
	}
	if !reflect.DeepEqual(r.Rows, want) || r.Empty != 5 {
		t.Errorf("got %v with %d empty cells", r.Rows, r.Empty)
	}
	for name, bad := range map[string]string{
		"empty":       "",
		"one column":  "time\n1\n",
		"no rows":     "time,x\n",
		"bad time":    "time,x\nyesterday,1\n",
		"same name":   "time,a b,a-b\n1,2,3\n",
		"ragged rows": "time,x\n1,2,3\n",
	} {
		if _, err := parseRecording(strings.NewReader(bad), ""); err == nil {
			t.Errorf("%s was read", name)
		}
	}
	if _, err := parseRecording(strings.NewReader("time,a,b\n1,2,3\n"), "c"); err == nil {
		t.Error("one name was given to two columns")
	}
}
