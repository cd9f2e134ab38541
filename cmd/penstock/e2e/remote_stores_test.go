package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/penstock-io/penstock/sink/sinktest"
)

// remoteStore is a real store that a sink writes to.
type remoteStore struct {
	addr string // host:port
	web  bool   // it speaks HTTP
	// sink is the part of the configuration that says where the sink "remote"
	// writes, by way of addr.
	sink func(addr string) string
	// read returns what the store holds of the field n.
	read func() (sinktest.Samples, error)
}

func startVictoriaMetrics(t *testing.T) remoteStore {
	vm := sinktest.StartVictoriaMetrics(t)
	return remoteStore{
		addr: strings.TrimPrefix(vm.URL, "http://"),
		web:  true,
		sink: func(addr string) string {
			return fmt.Sprintf("type: remote_write\n  remote_write: {url: \"http://%s/api/v1/write\", timeout: 2s}\n", addr)
		},
		read: func() (sinktest.Samples, error) {
			// What is still in memory is not exported otherwise.
			if _, err := vm.Get("/internal/force_flush"); err != nil {
				return nil, err
			}
			return vm.Export("n")
		},
	}
}

func startInflux(t *testing.T) remoteStore {
	influx := sinktest.StartInflux(t, "fleet")
	return remoteStore{
		addr: strings.TrimPrefix(influx.URL, "http://"),
		web:  true,
		sink: func(addr string) string {
			return fmt.Sprintf("type: influx\n  influx: {url: \"http://%s\", database: fleet, timeout: 2s}\n", addr)
		},
		read: func() (sinktest.Samples, error) { return influx.Selected("fleet", "telemetry") },
	}
}

func startPostgres(t *testing.T) remoteStore {
	pg := sinktest.StartPostgres(t, "fsync=on")
	db := pg.Database(t)
	migrate(t, pg.URL(db))
	return remoteStore{
		addr: fmt.Sprintf("127.0.0.1:%d", pg.Port),
		sink: func(addr string) string {
			dsn := strings.Replace(pg.URL(db), fmt.Sprintf("127.0.0.1:%d", pg.Port), addr, 1)
			return fmt.Sprintf("type: postgres\n  postgres: {dsn: %q, timeout: 2s}\n", dsn)
		},
		read: func() (sinktest.Samples, error) {
			out, err := pg.Psql(db, "SELECT device, (extract(epoch FROM time) * 1000)::bigint, value FROM telemetry WHERE name = 'n'")
			if err != nil {
				return nil, err
			}
			all := sinktest.Samples{}
			for line := range strings.Lines(out) {
				parts := strings.Split(strings.TrimSpace(line), "|")
				if len(parts) != 3 {
					return nil, fmt.Errorf("psql prints %q", line)
				}
				at, err := strconv.ParseInt(parts[1], 10, 64)
				if err != nil {
					return nil, err
				}
				v, err := strconv.ParseFloat(parts[2], 64)
				if err != nil {
					return nil, err
				}
				series := deviceSeries(parts[0])
				if _, ok := all[series][at]; ok {
					return nil, fmt.Errorf("%s stands twice", line)
				}
				all.Add(series, at, v)
			}
			return all, nil
		},
	}
}

// migrate creates the tables with the command that users have.
func migrate(t *testing.T, dsn string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "penstock.yaml")
	writeFile(t, file, fmt.Sprintf("sinks:\n- name: remote\n  type: postgres\n  postgres: {dsn: %q}\n", dsn))
	if out := penstock(t, "sink", "migrate", "remote", "--print", "--config", file); !strings.Contains(out, "CREATE TABLE") {
		t.Errorf("--print prints %s", out)
	}
	if out := penstock(t, "sink", "migrate", "remote", "--config", file); !strings.Contains(out, "from version 0") {
		t.Errorf("migrate prints %s", out)
	}
	if out := penstock(t, "sink", "check", "remote", "--config", file); !strings.Contains(out, ": ok") {
		t.Errorf("check prints %s", out)
	}
}

// deviceSeries is the series of the field n of a device.
func deviceSeries(device string) string {
	return sinktest.Series("n", map[string]string{"device": device})
}

// readFile returns what a file of NDJSON holds of the field n, and how many
// lines stand in it twice.
func readFile(t *testing.T, path string) (all sinktest.Samples, twice int) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all = sinktest.Samples{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		var x struct {
			Device string
			TS     int64
			Values map[string]float64
		}
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			t.Fatalf("%v in %q", err, lines.Text())
		}
		if _, ok := all[deviceSeries(x.Device)][x.TS]; ok {
			twice++
		}
		all.Add(deviceSeries(x.Device), x.TS, x.Values["n"])
	}
	return all, twice
}

// missingIn counts the acknowledged events that a store does not hold, and
// fails for what it holds and was never sent.
func (l *load) missingIn(all sinktest.Samples, base int64) (lost int) {
	l.t.Helper()
	for _, w := range l.workers {
		series := all[deviceSeries(w.device)]
		for i, acked := range w.acked {
			if v, ok := series[base+int64(i)]; acked && (!ok || v != float64(i)) {
				lost++
			}
		}
		for at, v := range series {
			if i := at - base; i < 0 || i >= int64(w.next) || v != float64(i) {
				l.t.Errorf("%s has %g at %d, which was never sent", w.device, v, i)
			}
		}
	}
	if len(all) > len(l.workers) {
		l.t.Errorf("%d series, want %d", len(all), len(l.workers))
	}
	return lost
}
