package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/prompb"
	"github.com/klauspost/compress/snappy"
)

// receiver is a store that takes remote write and keeps one sample per series
// and millisecond, as real ones do. Unlike them it can be told to fail, and
// knows how often it was sent each sample.
type receiver struct {
	server *httptest.Server
	away   atomic.Bool // answers 500 to everything
	poison atomic.Pointer[string]

	mu      sync.Mutex
	samples map[sampleKey]*sampleValue
	sent    int // samples, the repeated ones included
}

type sampleKey struct {
	name, device string
	at           int64
}

type sampleValue struct {
	value float64
	times int
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{samples: map[sampleKey]*sampleValue{}}
	r.server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.server.Close)
	return r
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err == nil {
		body, err = snappy.Decode(nil, body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.away.Load() {
		http.Error(w, "the receiver is away", http.StatusInternalServerError)
		return
	}
	u := prompb.GetWriteRequestUnmarshaler()
	defer prompb.PutWriteRequestUnmarshaler(u)
	wr, err := u.UnmarshalProtobuf(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	poison := r.poison.Load()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ts := range wr.Timeseries {
		var key sampleKey
		for _, l := range ts.Labels {
			switch l.Name {
			case "__name__":
				key.name = strings.Clone(l.Value)
			case "device":
				key.device = strings.Clone(l.Value)
			}
		}
		if poison != nil && key.device == *poison {
			http.Error(w, fmt.Sprintf("no samples of %s here", key.device), http.StatusBadRequest)
			return
		}
	}
	for _, ts := range wr.Timeseries {
		var key sampleKey
		for _, l := range ts.Labels {
			switch l.Name {
			case "__name__":
				key.name = strings.Clone(l.Value)
			case "device":
				key.device = strings.Clone(l.Value)
			}
		}
		for _, s := range ts.Samples {
			key.at = s.Timestamp
			v := r.samples[key]
			if v == nil {
				v = &sampleValue{value: s.Value}
				r.samples[key] = v
			}
			v.times++
			r.sent++
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// count returns how many samples are stored, and how many were sent again.
func (r *receiver) count() (stored, again int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.samples), r.sent - len(r.samples)
}

// missing returns how many of the acknowledged events of l are not stored,
// from the given number of each device on, and what is wrong with those that
// are.
func (r *receiver) missing(l *load, base int64, from map[string]int) (n int, wrong string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range l.workers {
		for i := from[w.device]; i < len(w.acked); i++ {
			if !w.acked[i] {
				continue
			}
			v := r.samples[sampleKey{"n", w.device, base + int64(i)}]
			switch {
			case v == nil:
				n++
			case v.value != float64(i):
				wrong = fmt.Sprintf("%s at %d has the value %g", w.device, i, v.value)
			}
		}
	}
	return n, wrong
}
