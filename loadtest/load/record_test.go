package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-io/penstock/loadtest/wire"
)

func contains(s, sub string) bool { return strings.Contains(s, sub) }

// readRecord expands a record into events.
func readRecord(t *testing.T, record []byte) (acknowledged, unknown map[key]int) {
	t.Helper()
	acknowledged, unknown = map[key]int{}, map[key]int{}
	err := ReadRecord(bytes.NewReader(record), func(e Entry) error {
		into := unknown
		if e.Acknowledged {
			into = acknowledged
		}
		for i := range e.Count {
			if !slices.Contains(e.Except, i) {
				into[key{wire.DeviceName(e.First + i), e.TS}]++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return acknowledged, unknown
}

// The server loses connections at every moment of a request. What it answered
// must be in the record, what it did not must not, and what it kept without
// an answer must be among those in doubt.
func TestRecordListsExactlyWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	for _, resend := range []bool{false, true} {
		t.Run(fmt.Sprint("resend=", resend), func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			rng := rand.New(rand.NewPCG(1, 2))
			answered, doubtful := map[key]int{}, map[key]bool{}
			s := newStub(t, func(s *stub, w http.ResponseWriter, events []key) {
				mu.Lock()
				dice := rng.IntN(10)
				for _, e := range events {
					switch {
					case dice > 6:
						answered[e]++
					case dice < 6:
						doubtful[e] = true
					}
				}
				mu.Unlock()
				switch dice {
				case 0: // gone before it was kept
					hijack(t, w, "")
				case 1: // gone after it was kept
					s.store(events)
					hijack(t, w, "")
				case 2: // gone in the middle of the answer
					s.store(events)
					hijack(t, w, "HTTP/1.1 204 No Con")
				case 3:
					s.store(events)
					hijack(t, w, "HTTP/1.1 204 No Content\r\nPenstock-Ack: durable\r\n")
				case 4:
					w.WriteHeader(http.StatusServiceUnavailable)
				case 5: // a failed sync: perhaps kept
					s.store(events)
					w.WriteHeader(http.StatusServiceUnavailable)
				case 6: // refused for good, whatever became of an earlier try
					w.WriteHeader(http.StatusBadRequest)
				default:
					accept(s, w, events)
				}
			})
			var record bytes.Buffer
			cfg := small(s)
			cfg.Duration, cfg.Resend, cfg.Record = 700*time.Millisecond, resend, &record
			res, err := Run(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			acknowledged, unknown := readRecord(t, record.Bytes())
			if len(acknowledged) < 100 || res.Errors < 4 {
				t.Fatalf("too little happened: %+v", res)
			}
			if !maps.Equal(acknowledged, answered) {
				t.Errorf("%d events in the record, %d were answered", len(acknowledged), len(answered))
			}
			if uint64(len(acknowledged)) != res.Events {
				t.Errorf("%d events in the record, %d counted", len(acknowledged), res.Events)
			}
			for k := range s.stored {
				if acknowledged[k] == 0 && unknown[k] == 0 {
					t.Fatalf("%v was kept, and the record does not know it", k)
				}
			}
			again := false
			for k, n := range s.seen {
				again = again || n > 1
				if acknowledged[k]+unknown[k] > 1 {
					t.Fatalf("%v stands in the record twice", k)
				}
			}
			if again != resend {
				t.Errorf("sent again: %v", again)
			}
			for k := range unknown {
				if !doubtful[k] {
					t.Fatalf("%v is in doubt for no reason", k)
				}
			}
		})
	}
}

// hijack writes raw bytes and hangs up.
func hijack(t *testing.T, w http.ResponseWriter, raw string) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	_, _ = conn.Write([]byte(raw))
	_ = conn.Close()
}

func TestRecordLeavesOutRejectedEvents(t *testing.T) {
	t.Parallel()
	kept := map[key]int{}
	var mu sync.Mutex
	s := newStub(t, func(_ *stub, w http.ResponseWriter, events []key) {
		type fault struct {
			Index int `json:"index"`
		}
		mu.Lock()
		defer mu.Unlock()
		for i, e := range events {
			if i != 3 && i != 7 {
				kept[e]++
			}
		}
		w.Header().Set("Penstock-Accepted", "8")
		_ = json.NewEncoder(w).Encode(map[string]any{"accepted": 8, "rejected": 2, "errors": []fault{{3}, {7}}})
	})
	var record bytes.Buffer
	cfg := small(s)
	cfg.Record = &record
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	acknowledged, unknown := readRecord(t, record.Bytes())
	if !maps.Equal(acknowledged, kept) || len(unknown) != 0 {
		t.Errorf("%d acknowledged and %d in doubt, want %d and 0", len(acknowledged), len(unknown), len(kept))
	}
	if res.Events*2 != res.Rejected*8 || res.Events == 0 {
		t.Errorf("%d accepted, %d rejected", res.Events, res.Rejected)
	}
}

func TestReadRecord(t *testing.T) {
	t.Parallel()
	var got []Entry
	read := func(text string) error {
		got = nil
		return ReadRecord(strings.NewReader(text), func(e Entry) error { got = append(got, e); return nil })
	}
	if err := read("+ 100 10 1795224292123\n? 0 1 5\n+ 7 3 9 0,2\n+ 12 1"); err != nil {
		t.Fatal(err)
	}
	want := []Entry{
		{Acknowledged: true, First: 100, Count: 10, TS: 1795224292123},
		{First: 0, Count: 1, TS: 5},
		{Acknowledged: true, First: 7, Count: 3, TS: 9, Except: []int{0, 2}},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, bad := range []string{"x 1 2 3\n", "+ 1 2\n", "+ a 2 3\n", "+ 1 2 3 4,b\n", "\n"} {
		if read(bad) == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
