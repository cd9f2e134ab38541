package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/penstock-io/penstock/ingest/event"
)

// fleet makes batches of the reference work: perBatch events each, which have
// three fields and a tag, of devices in turn, from a start in milliseconds.
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

// BenchmarkWrite writes the reference work, 10,000 events (30,000 samples) per
// Write, which is about what 4 MiB of batches hold, of 10,000 and of 100,000
// devices. It reports the CPU of this process and that of the server. The
// series are there already.
//
//	go test -run '^$' -bench Write -benchtime 100x ./sink/postgres
func BenchmarkWrite(b *testing.B) {
	for _, devices := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("devices=%d", devices), func(b *testing.B) {
			cfg, db := migrated(b)
			w := open(b, cfg)
			const perWrite = 10_000
			all := fleet(devices, devices, 100, 0)
			for at := 0; at < len(all); at += 100 {
				write(b, w, all[at:at+100]...)
			}
			psql(b, db, "TRUNCATE telemetry_samples; CHECKPOINT")
			b.ReportAllocs()
			b.ResetTimer()
			own, its := ownCPU(), serverCPU(b)
			for i := range b.N {
				at := i * 100 % len(all)
				if at == 0 {
					b.StopTimer()
					for _, x := range all {
						for j := range x.Events {
							x.Events[j].Timestamp += 1000
						}
					}
					b.StartTimer()
				}
				write(b, w, all[at:at+100]...)
			}
			events := float64(b.N * perWrite)
			b.ReportMetric((ownCPU()-own)*1e6/events, "own-µs/event")
			b.ReportMetric((serverCPU(b)-its)*1e6/events, "server-µs/event")
			b.ReportMetric(events/b.Elapsed().Seconds(), "events/s")
			b.StopTimer()
			size := psql(b, db, "SELECT pg_total_relation_size('telemetry_samples')")
			if n, err := strconv.ParseFloat(size, 64); err == nil {
				b.ReportMetric(n/(3*events), "disk-B/sample")
			}
			if n := psql(b, db, "SELECT count(*) FROM telemetry"); n != fmt.Sprint(3*b.N*perWrite) {
				b.Errorf("%s samples are stored, want %d", n, 3*b.N*perWrite)
			}
		})
	}
}

// ownCPU returns the seconds that this process has used.
func ownCPU() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// serverCPU returns the seconds that the server's processes have used, those
// that live and those that the postmaster has buried.
func serverCPU(b *testing.B) float64 {
	b.Helper()
	ticks := 0
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, ok := strings.Cut(string(text), ") ")
		f := strings.Fields(rest)
		if !ok || len(f) < 15 {
			continue
		}
		pid, ppid, server := filepath.Base(filepath.Dir(path)), f[1], strconv.Itoa(server.PID())
		if pid != server && ppid != server {
			continue
		}
		used := f[11:13] // utime, stime
		if pid == server {
			used = f[11:15] // cutime, cstime, too
		}
		for _, x := range used {
			n, _ := strconv.Atoi(x)
			ticks += n
		}
	}
	return float64(ticks) / 100
}
