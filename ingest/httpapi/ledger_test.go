package httpapi

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
)

// TestLedger sends a mix of requests from several clients, and then compares
// the ledger with what the test itself counted.
func TestLedger(t *testing.T) {
	t.Parallel()
	in := &stub{most: event.Durable, duplicates: func(e *event.Event) bool { return e.Device == "twice" }}
	s := serve(t, testConfig(), in)
	kinds := []string{good, bad, `{"device":"twice","values":{"a":1}}`, `{"values":{"a":1}}`, `{"device":"n","values":{"a":1,"b":null}}`}

	var mu sync.Mutex
	var received, accepted, rejected, duplicate, partial, nulls float64
	var clients sync.WaitGroup
	for client := range 4 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(uint64(client), 7))
			for range 60 {
				var events []string
				var n [5]float64
				for range random.IntN(8) {
					k := random.IntN(len(kinds))
					n[k]++
					events = append(events, kinds[k])
				}
				body, query := "["+strings.Join(events, ",")+"]", ""
				switch random.IntN(6) {
				case 0:
					query = "?accept_partial=false"
				case 1: // refused as a whole: nothing is received
					s.post(t, path, body+"]")
					continue
				case 2:
					s.post(t, path, body, "Content-Encoding: gzip")
					continue
				}
				a := s.post(t, path+query, body)

				mu.Lock()
				valid, invalid, dup := n[0]+n[4], n[1]+n[3], n[2]
				received += valid + invalid + dup
				duplicate += dup
				nulls += n[4]
				want := 204
				switch {
				case invalid > 0 && valid == 0 && dup == 0:
					rejected += invalid
					want = 422
				case invalid > 0 && query != "":
					rejected += invalid + valid
					partial += valid
					want = 422
				default:
					accepted += valid
					rejected += invalid
					if invalid > 0 {
						want = 200
					}
				}
				if a.StatusCode != want {
					t.Errorf("%s %s: got %v, want %d", query, body, a, want)
				}
				mu.Unlock()
			}
		})
	}
	clients.Wait()

	for name, want := range map[string]float64{
		`penstock_events_total{outcome="received"}`:              received,
		`penstock_events_total{outcome="accepted"}`:              accepted,
		`penstock_events_total{outcome="rejected"}`:              rejected,
		`penstock_events_total{outcome="duplicate"}`:             duplicate,
		`penstock_events_rejected_total{code="partial_refused"}`: partial,
		`penstock_null_values_total`:                             nulls,
	} {
		if got := s.metric(t, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if received != accepted+rejected+duplicate || received == 0 || partial == 0 || duplicate == 0 {
		t.Errorf("the test's own count does not balance: %v %v %v %v", received, accepted, rejected, duplicate)
	}
	var byCode float64
	for _, c := range RejectionCodes() {
		byCode += s.metric(t, fmt.Sprintf(`penstock_events_rejected_total{code=%q}`, c.Code))
	}
	if byCode != rejected {
		t.Errorf("rejections by code are %v, want %v", byCode, rejected)
	}
	if float64(in.accepted) != accepted {
		t.Errorf("the intake has %d events, want %v", in.accepted, accepted)
	}
}

func TestRefusedByIntakeReceivesNothing(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(), &stub{err: quota})
	a := s.post(t, path, "["+good+","+bad+"]")
	if a.StatusCode != 429 || !strings.Contains(string(a.body), "tenant a") || a.Header.Get("Retry-After") < "2" {
		t.Errorf("got %v", a)
	}
	for _, outcome := range []string{"received", "accepted", "rejected", "duplicate"} {
		if n := s.metric(t, fmt.Sprintf(`penstock_events_total{outcome=%q}`, outcome)); n != 0 {
			t.Errorf("%s is %v", outcome, n)
		}
	}
}

func TestStagesAndDelay(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(), nil)
	now := time.Now().UnixMilli()
	envelope := func(sentAt int64) string {
		return fmt.Sprintf(`{"device":"a","sent_at":%d,"events":[{"values":{"b":1}}]}`, sentAt)
	}
	s.post(t, path, envelope(now-2000))
	s.post(t, path, envelope(now+60_000)) // a clock that is ahead: clamped
	s.post(t, path, good)
	if n := s.metric(t, "penstock_delivery_delay_seconds_count"); n != 2 {
		t.Errorf("%v delays were observed", n)
	}
	if sum := s.metric(t, "penstock_delivery_delay_seconds_sum"); sum < 2 || sum > 10 {
		t.Errorf("the delays sum up to %v s", sum)
	}
	for _, stage := range []string{"read", "decode"} {
		if n := s.metric(t, fmt.Sprintf(`penstock_stage_seconds_count{stage=%q}`, stage)); n != 3 {
			t.Errorf("%s has %v observations", stage, n)
		}
	}
	if n := s.metric(t, `penstock_http_requests_total{code="204"}`); n != 3 {
		t.Errorf("%v answers were counted", n)
	}
	if n := s.metric(t, `penstock_http_request_body_bytes_total`); n < 100 {
		t.Errorf("%v bytes were counted", n)
	}
}
