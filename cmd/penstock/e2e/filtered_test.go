package e2e

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestFilteredSinkAway has a store that is away behind a filter which lets
// half of the devices pass, and one event per request, so that every other
// record of the journal is none of the sink's. What is known of the records
// stays bounded, SIGTERM ends the service, and when the store is there each
// event that passes is in it, once. Its long form runs for three minutes.
//
// What it costs is measured by BenchmarkFilteredAway in bench.
func TestFilteredSinkAway(t *testing.T) {
	t.Parallel()
	store := startVictoriaMetrics(t)
	proxy := newFaultProxy(t, store.addr, false)
	proxy.down()
	dir := t.TempDir()
	s, file := configured(t, dir, "sinks:\n- name: remote\n  "+store.sink(proxy.addr)+
		"  filter: {devices: [\"/dev-.*[02468]/\"]}\n"+
		"  delivery: {batch_bytes: 128KiB, memory_bytes: 512KiB, sync_interval: 500ms, hold: 1s, retry_max: 500ms, circuit_pause: 200ms}\n")
	d := 3 * time.Second
	if long() {
		d = 3 * time.Minute
	}
	const devices = 64
	base := time.Now().UnixMilli()
	var acked [devices]atomic.Int64
	send := func(until time.Time) {
		client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: devices}}
		defer client.CloseIdleConnections()
		var wg sync.WaitGroup
		for i := range devices {
			wg.Go(func() {
				for time.Now().Before(until) {
					n := acked[i].Load()
					body := fmt.Sprintf(`{"device":"dev-%d","ts":%d,"values":{"n":%d}}`, i, base+n, n)
					a, err := postTo(client, s.devices+"/v1/telemetry", body, "application/json")
					if err != nil || a.status != 204 {
						t.Errorf("%v %v", a, err)
						return
					}
					acked[i].Add(1)
				}
			})
		}
		wg.Wait()
	}
	send(time.Now().Add(d))
	s.caughtUp("embedded")
	s.terminate() // which fails if it does not end in time

	s = start(t, dir, "--config", file)
	send(time.Now().Add(d / 3))
	proxy.heal()
	for _, sink := range []string{"embedded", "remote"} {
		eventually(t, 5*time.Minute, func() error { // the long form has a long backlog
			if n := s.behind(sink); n > 0 {
				return fmt.Errorf("%s is %g bytes behind", sink, n)
			}
			return nil
		})
	}
	all, err := store.read() // which fails for what is there twice
	if err != nil {
		t.Fatal(err)
	}
	events := int64(0)
	for i := range devices {
		got := all[deviceSeries("dev-"+strconv.Itoa(i))]
		want := acked[i].Load()
		events += want
		if i%2 == 1 {
			want = 0
		}
		if int64(len(got)) != want {
			t.Errorf("the store has %d events of device %d, want %d", len(got), i, want)
		}
	}
	t.Logf("%d events acknowledged while the store was away", events)
	s.terminate()
}
