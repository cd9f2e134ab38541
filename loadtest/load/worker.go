package load

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/url"
	"slices"
	"time"

	"github.com/penstock-io/penstock/loadtest/wire"
)

// worker is one connection. It owns every n-th group of devices, so that no
// two connections ever send for one device, and a device's timestamps rise
// without anybody asking anybody.
type worker struct {
	run     *run
	client  *client
	body    *wire.Body
	encoder *wire.Encoder
	backoff backoff

	groups []int   // the first device of each
	lastTS []int64 // by group
	turn   int

	begun      uint64
	unresolved uint64
	answered   time.Time // when the last answer came
}

func newWorker(r *run, index int, target *url.URL) (*worker, error) {
	body, err := wire.NewBody(r.Format, r.readings, r.EventsPerPost)
	if err != nil {
		return nil, err
	}
	encoder, err := wire.NewEncoder(r.Encoding)
	if err != nil {
		return nil, err
	}
	w := &worker{
		run: r, body: body, encoder: encoder,
		client: newClient(target, r.Format.ContentType(), encoder.Name(), r.Header, r.Timeout),
	}
	for first := index * r.EventsPerPost; first < r.Devices; first += r.Connections * r.EventsPerPost {
		w.groups = append(w.groups, first)
	}
	w.lastTS = make([]int64, len(w.groups))
	return w, nil
}

// loop sends until ctx is done, or the schedule or the last pass is at its
// end.
func (w *worker) loop(ctx context.Context) {
	defer w.client.close()
	for ctx.Err() == nil {
		if w.run.Passes > 0 && w.begun == uint64(w.run.Passes*len(w.groups)) {
			return
		}
		start := time.Now()
		if w.run.due != nil {
			at, ok := <-w.run.due
			if !ok || ctx.Err() != nil {
				return
			}
			start = w.run.start.Add(at)
		}
		w.begun++
		w.request(ctx, start)
	}
}

// request sends the next body, again where that is wanted, and counts what
// became of it. Its latency begins at start.
func (w *worker) request(ctx context.Context, start time.Time) {
	g := w.turn
	w.turn = (w.turn + 1) % len(w.groups)
	b := posted{first: w.groups[g], ts: max(time.Now().UnixMilli(), w.lastTS[g]+1)}
	w.lastTS[g] = b.ts
	body, err := w.encoder.Encode(w.body.Render(b.first, b.ts))
	if err != nil {
		w.run.stats.failure()
		return
	}
	final := refused
	for {
		resp, err := w.client.post(body)
		w.answered = time.Now()
		var got fate
		if err != nil {
			w.run.stats.failure()
			got = unsent
			if !errors.Is(err, errNotSent) {
				got = unclear
			}
		} else {
			got = w.settle(b, resp, len(body), w.answered.Sub(start))
		}
		// What is said of a later try does not tell what became of an earlier
		// one, unless it is an acknowledgement.
		if final != unclear || got == acknowledged {
			final = got
		}
		if got == acknowledged || got == refused {
			w.backoff.reset()
			break
		}
		if !w.again(ctx, resp.retryAfter) {
			break
		}
	}
	if final == unclear {
		w.unresolved++
		w.run.record.unknown(b.first, w.run.EventsPerPost, b.ts)
	}
}

// again waits before the next try and reports whether there is to be one.
// Where nothing is sent again, a closed loop pauses all the same, so that a
// server that refuses is not hammered by what measures it; an open loop has
// its schedule.
func (w *worker) again(ctx context.Context, retryAfter time.Duration) bool {
	if w.run.Resend {
		return pause(ctx, w.backoff.next(retryAfter))
	}
	if w.run.due == nil {
		pause(ctx, min(w.backoff.next(retryAfter), maxPause))
	}
	return false
}

// posted is the request in hand.
type posted struct {
	first int
	ts    int64
}

// fate is what became of a try.
type fate int

const (
	// acknowledged: a 2xx that tells what was accepted.
	acknowledged fate = iota
	// refused: not accepted, and the same again would not be either.
	refused
	// unsent: not accepted, but worth another try.
	unsent
	// unclear: worth another try, and perhaps accepted. An answer of 503 is
	// one of these, because a journal that could not be synced leads to one.
	unclear
)

// settle counts an answer, and records what it acknowledges.
func (w *worker) settle(b posted, resp response, sent int, latency time.Duration) fate {
	n := w.run.EventsPerPost
	accepted, rejected, got := 0, 0, refused
	switch {
	case isAck(resp.status) && w.whole(resp):
		accepted, got = n, acknowledged
		w.run.record.acknowledged(b.first, n, b.ts, nil)
	case isAck(resp.status):
		accepted, rejected, got = w.partial(b, resp)
	case resp.status == 429:
		got = unsent
	case resp.status >= 500:
		got = unclear
	default:
		rejected = n
	}
	w.run.stats.answer(resp.status, accepted, rejected, sent, resp.bytes, latency)
	return got
}

// whole reports whether a 2xx means all events. A peer says no more than the
// status.
func (w *worker) whole(resp response) bool {
	if w.run.Format != wire.Penstock && w.run.Format != wire.NDJSON {
		return true
	}
	return resp.status == 204 && (resp.accepted < 0 || resp.accepted == w.run.EventsPerPost)
}

// partial reads the answer to a request of which some events were rejected.
func (w *worker) partial(b posted, resp response) (accepted, rejected int, got fate) {
	var answer struct {
		Accepted int `json:"accepted"`
		Rejected int `json:"rejected"`
		Errors   []struct {
			Index int `json:"index"`
		} `json:"errors"`
	}
	n := w.run.EventsPerPost
	if err := json.Unmarshal(resp.body, &answer); err != nil || answer.Accepted+answer.Rejected != n {
		return 0, 0, w.lost(b) // a 2xx that does not say what it accepted
	}
	var except []int
	for _, e := range answer.Errors {
		if !slices.Contains(except, e.Index) {
			except = append(except, e.Index)
		}
	}
	if len(except) != answer.Rejected {
		return answer.Accepted, answer.Rejected, w.lost(b) // the list was cut short
	}
	w.run.record.acknowledged(b.first, n, b.ts, except)
	return answer.Accepted, answer.Rejected, acknowledged
}

// lost notes a request that was acknowledged in a way that does not tell
// which events were accepted. To send it again would not tell either.
func (w *worker) lost(b posted) fate {
	w.unresolved++
	w.run.record.unknown(b.first, w.run.EventsPerPost, b.ts)
	return acknowledged
}

// maxPause bounds the pause after a refusal where nothing is sent again.
const maxPause = 50 * time.Millisecond

// backoff is exponential, with jitter, from 1 ms to 1 s, so that a server
// that was killed is found again soon after it is back.
type backoff struct{ last time.Duration }

func (b *backoff) reset() { b.last = 0 }

// next returns how long to wait; at least what the server asked for.
func (b *backoff) next(asked time.Duration) time.Duration {
	b.last = min(max(2*b.last, time.Millisecond), time.Second)
	return asked + b.last/2 + rand.N(b.last/2+1)
}

// pause waits and reports whether there is time left.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
