package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// readings returns a request of n events of a device, with a text that makes
// it longer.
func readings(device string, n int) string {
	var b strings.Builder
	now := time.Now().UnixMilli()
	for i := range n {
		fmt.Fprintf(&b, `,{"device":%q,"ts":%d,"values":{"temperature_c":21.5,"humidity_pct":50}}`, device, now-int64(i))
	}
	return "[" + b.String()[1:] + "]"
}

// problem is an answer that refuses.
type problem struct{ Code, Detail string }

func (a answer) problem() (p problem) {
	_ = json.Unmarshal([]byte(a.body), &p)
	return p
}

// TestRateLimits sees a limit as a device does: its whole burst goes, then
// nothing, with an answer that says why and until when; others do not notice.
// The operator raises the limit while the service runs, and those that did not
// change go on as they were. A restart begins with whole bursts.
func TestRateLimits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	limits := func(gateway int) string {
		return fmt.Sprintf("rate_limits:\n  device: {events_per_second: 0.01}\n  headers: true\n  devices:\n  - {device: \"gateway-*\", events_per_second: %d, burst: 100s}\n", gateway)
	}
	s, file := configured(t, dir, limits(1))
	backlog := func(s *server) answer { return s.mustPost(readings("pump", 36), 204) } // an hour of it
	if h := backlog(s).header; h.Get("RateLimit-Policy") != `"device-events";q=36;qu="events";w=3600` || !strings.HasPrefix(h.Get("RateLimit"), `"device-events";r=0;t=`) {
		t.Errorf("RateLimit-Policy %q, RateLimit %q", h.Get("RateLimit-Policy"), h.Get("RateLimit"))
	}
	refused := s.mustPost(readings("pump", 2), 429)
	p := refused.problem()
	for _, words := range []string{`device "pump" may send 0.01 events per second`, "1h0m0s", "rate_limits.device.events_per_second raises"} {
		if p.Code != "over_quota" || !strings.Contains(p.Detail, words) {
			t.Errorf("the answer lacks %q: %s", words, refused.body)
		}
	}
	// 200 s from when the burst was taken, which was not long ago, and half as
	// much again at most.
	if wait, err := strconv.Atoi(refused.header.Get("Retry-After")); err != nil || wait < 100 || wait > 300 {
		t.Errorf("Retry-After is %q", refused.header.Get("Retry-After"))
	}
	// One over its limit in a request of several: all or nothing.
	s.mustPost("["+strings.Trim(readings("other", 3), "[]")+","+strings.Trim(readings("pump", 1), "[]")+"]", 429)
	s.mustPost(readings("other", 36), 204) // of which nothing was charged
	s.mustPost(readings("gateway-7", 100), 204)
	s.mustPost(readings("gateway-7", 50), 429)

	writeFile(t, file, limits(5))
	s.cmd.Process.Signal(syscall.SIGHUP)
	eventually(t, 20*time.Second, func() error {
		if n := s.metric(`penstock_config_reloads_total{result="ok"}`); n != 1 {
			return fmt.Errorf("%v reloads", n)
		}
		return nil
	})
	s.mustPost(readings("pump", 2), 429)  // its limit has not changed, and is not reset
	s.mustPost(readings("other", 2), 429) // nor is this one
	s.mustPost(readings("gateway-8", 500), 204)

	if n := s.metric(`penstock_events_total{outcome="accepted"}`); n != 36+36+100+500 {
		t.Errorf("%v events were accepted", n)
	}
	if n := s.metric(`penstock_rate_limit_refused_requests_total{limit="device_events"}`); n != 5 {
		t.Errorf("%v requests were counted as refused", n)
	}
	if n, most := s.metric(`penstock_rate_limit_tracked{kind="device"}`), s.metric(`penstock_rate_limit_tracked_max{kind="device"}`); n != 4 || most < 250_000 {
		t.Errorf("%v devices are tracked, of %v", n, most)
	}
	s.terminate()
	s = start(t, dir, "--config", file)
	backlog(s)
	s.mustPost(readings("pump", 2), 429)
}

// TestRateLimitsDryRun serves all the same, and counts.
func TestRateLimitsDryRun(t *testing.T) {
	t.Parallel()
	s, _ := configured(t, t.TempDir(), "rate_limits: {device: {bytes_per_second: 1}, burst: 1s, dry_run: true}\n")
	for range 5 {
		s.mustPost(readings("pump", 10), 204)
	}
	if n := s.metric(`penstock_rate_limit_dry_run_requests_total{limit="device_bytes"}`); n != 4 {
		t.Errorf("%v requests were counted", n)
	}
	if !strings.Contains(s.logText(), "rate_limits.dry_run") {
		t.Error("nothing was logged")
	}
}

// TestRateLimitsReloadUnderLoad changes limits of devices that nobody has,
// again and again, while devices send all that they may: each gets through
// with that, and with no more.
func TestRateLimitsReloadUnderLoad(t *testing.T) {
	t.Parallel()
	limits := func(n int) string {
		return fmt.Sprintf("rate_limits:\n  device: {events_per_second: 0.0001}\n  burst: 100000s\n  devices:\n  - {device: \"nobody-*\", events_per_second: %d}\n", n+1)
	}
	s, file := configured(t, t.TempDir(), limits(0))
	stop := make(chan struct{})
	var reloading, sending sync.WaitGroup
	reloading.Go(func() {
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := os.WriteFile(file+".new", []byte(limits(n)), 0o600); err != nil {
				t.Error(err)
			}
			if err := os.Rename(file+".new", file); err != nil {
				t.Error(err)
			}
			s.cmd.Process.Signal(syscall.SIGHUP)
			s.get("/readyz") // its pace
		}
	})
	const devices, burst = 40, 10
	for d := range devices {
		sending.Go(func() {
			for i := range 2 * burst {
				a, err := s.post(readings(fmt.Sprint("dev-", d), 1), "application/json")
				if want := map[bool]int{true: 204, false: 429}[i < burst]; err != nil || a.status != want {
					t.Errorf("device %d, event %d: %d %s, %v; want %d", d, i, a.status, a.body, err, want)
					return
				}
			}
		})
	}
	sending.Wait()
	close(stop)
	reloading.Wait()
	if n := s.metric(`penstock_events_total{outcome="accepted"}`); n != devices*burst {
		t.Errorf("%v events were accepted", n)
	}
}

// tenants starts a service that knows two keys, of the tenants that are named.
func tenants(t *testing.T, noisy, quiet, config string) (s *server, noisyKey, quietKey string) {
	t.Helper()
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	create := func(id, tenant string) string {
		cmd := exec.Command(binary, "key", "create", "--keys-file", keys, "--id", id, "--tenant", tenant, "--devices", "*")
		cmd.Env = cleanEnv()
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v %s", err, stderr.String())
		}
		for word := range strings.FieldsSeq(string(out)) {
			if strings.HasPrefix(word, "pst_") {
				return word
			}
		}
		t.Fatalf("no key in %s", out)
		return ""
	}
	noisyKey, quietKey = create("noisy", noisy), create("quiet", quiet)
	s, _ = configured(t, filepath.Join(dir, "data"), fmt.Sprintf("access: {keys_file: %s, open_metrics: true, operator: open}\n", keys)+config)
	return s, noisyKey, quietKey
}

func (s *server) postAs(key, body string) answer {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.devices+"/v1/telemetry", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// TestNoisyTenantJournal has a store that is away, and a tenant that sends
// until it is refused. Another tenant still gets all it sends into the
// journal. The control shows that this is due to their being two tenants.
func TestNoisyTenantJournal(t *testing.T) {
	t.Parallel()
	const config = "store: {enabled: false}\n" +
		"journal: {segment_bytes: 1MiB, max_record_bytes: 1MiB, max_bytes: 16MiB}\n" +
		"sinks:\n- {name: away, type: remote_write, remote_write: {url: \"http://127.0.0.1:1/\"}}\n"
	for name, sameTenant := range map[string]bool{"two tenants": false, "control: one tenant": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			quiet := "quiet"
			if sameTenant {
				quiet = "noisy"
			}
			s, noisyKey, quietKey := tenants(t, "noisy", quiet, config)
			for _, key := range []string{noisyKey, quietKey, noisyKey} {
				if a := s.postAs(key, readings("d", 1)); a.status != 204 {
					t.Fatal(a)
				}
			}
			body, sent := readings("noisy", 2000), 0
			var last answer
			for last = s.postAs(noisyKey, body); last.status == 204; last = s.postAs(noisyKey, body) {
				sent++
			}
			if p := last.problem(); last.status != 503 || p.Code != "journal_full" || last.header.Get("Retry-After") == "" ||
				strings.Contains(p.Detail, "this tenant has more than its share") == sameTenant {
				t.Errorf("it is refused with %+v", last)
			}
			accepted := 0
			for range 20 {
				if s.postAs(quietKey, readings("quiet", 200)).status == 204 {
					accepted++
				}
			}
			t.Logf("after %d requests of one key, %d of 20 of the other", sent, accepted)
			if want := map[bool]int{false: 20, true: 0}[sameTenant]; accepted != want {
				t.Errorf("%d of 20 requests were accepted, want %d", accepted, want)
			}
		})
	}
}

// TestNoisyTenantMemory has a tenant that begins large requests and does not
// end them, until it gets no more memory. Another tenant is served.
func TestNoisyTenantMemory(t *testing.T) {
	t.Parallel()
	const config = "http: {max_body_bytes: 4MiB, max_decompressed_bytes: 4MiB, max_inflight_bytes: 24MiB}\n"
	for name, sameTenant := range map[string]bool{"two tenants": false, "control: one tenant": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			quiet := "quiet"
			if sameTenant {
				quiet = "noisy"
			}
			s, noisyKey, quietKey := tenants(t, "noisy", quiet, config)
			for _, key := range []string{noisyKey, quietKey, noisyKey} {
				if a := s.postAs(key, readings("d", 1)); a.status != 204 {
					t.Fatal(a)
				}
			}
			chunk := bytes.Repeat([]byte(" "), 4<<20-100)
			for range 12 {
				c, err := net.Dial("tcp", strings.TrimPrefix(s.devices, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				// The service may answer and close before all of it is written.
				go func() {
					fmt.Fprintf(c, "POST /v1/telemetry HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", noisyKey, 4<<20)
					c.Write(chunk)
				}()
			}
			eventually(t, 20*time.Second, func() error {
				if n := s.metric(`penstock_http_requests_total{code="503"}`); n < 4 {
					return fmt.Errorf("%v requests are refused", n)
				}
				return nil
			})
			large := "[" + strings.Repeat(" ", 3<<20) + readings("quiet", 10)[1:]
			accepted := 0
			for range 5 {
				if s.postAs(quietKey, large).status == 204 {
					accepted++
				}
			}
			t.Logf("%.0f MiB in flight; %d of 5 of the other key", s.metric("penstock_http_inflight_bytes")/(1<<20), accepted)
			if want := map[bool]int{false: 5, true: 0}[sameTenant]; accepted != want {
				t.Errorf("%d of 5 requests were accepted, want %d", accepted, want)
			}
		})
	}
}
