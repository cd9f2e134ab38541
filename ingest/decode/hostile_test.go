package decode

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
)

// TestNestingBombs sends what would overflow a recursive decoder's stack,
// which ends a Go program beyond all recovery.
func TestNestingBombs(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	d := newDecoder(Config{})
	open := func(s string) string { return strings.Repeat(s, size/len(s)) }
	for name, bomb := range map[string]string{
		"arrays":          open(`[`),
		"objects":         open(`{"a":`),
		"closed":          strings.Repeat("[", size/2) + strings.Repeat("]", size/2),
		"arrays, objects": open(`[{"events":`),
		"events":          open(`{"events":[`),
		"an open string":  `"` + strings.Repeat(`\"`, 32<<10),
	} {
		for _, body := range []string{
			bomb,
			`{"device":"d","values":{"a":1},"x":` + bomb + `}`,
			`{"device":"d","values":` + bomb + `}`,
			`{"device":"d","values":{"a":` + bomb + `}}`,
		} {
			both := []byte(body + "\n" + `{"device":"d","values":{"a":1}}`)
			b := &event.Batch{Body: both[:len(body)], ReceivedAt: now}
			if cause := causeOf(t, d.Decode(b, JSON, Millisecond)); cause != event.Malformed {
				t.Errorf("%s: %s", name, cause)
			}
			b = &event.Batch{Body: both, ReceivedAt: now}
			if err := d.Decode(b, NDJSON, Millisecond); err != nil || len(b.Events) != 1 || b.RejectedBy(event.MalformedJSON) != 1 {
				t.Errorf("%s as a line: %v", name, err)
			}
		}
	}
	if d.panics.Get() != 0 {
		t.Error("a panic")
	}
}

// TestNestingLimit pins how deep an unknown member may be.
func TestNestingLimit(t *testing.T) {
	t.Parallel()
	const limit = 10_000
	for depth, want := range map[int]event.Cause{limit - 1: none, limit: event.Malformed} {
		nested := strings.Repeat("[", depth) + strings.Repeat("]", depth)
		b := newBatch(`{"device":"d","x":` + nested + `,"values":{"a":1}}`)
		if cause := causeOf(t, newDecoder(Config{}).Decode(b, JSON, Millisecond)); cause != want {
			t.Errorf("%d deep: %s", depth, cause)
		}
	}
}

// TestHostileSizes sends what would make work or memory grow faster than the
// body.
func TestHostileSizes(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	fill := func(s string) string { return strings.Repeat(s, size/len(s)) }
	for name, body := range map[string]string{
		"members":             `{"device":"d","values":{"a":1}` + fill(`,"x":1`) + `}`,
		"devices":             `{"device":"d","values":{"a":1}` + fill(`,"device":"e"`) + `}`,
		"values objects":      `{"device":"d"` + fill(`,"values":{"a":1}`) + `}`,
		"values":              `{"device":"d","values":{"a":1` + fill(`,"a":1`) + `}}`,
		"tags":                `{"device":"d","values":{"a":1},"tags":{"a":"1"` + fill(`,"a":"1"`) + `}}`,
		"escaped tags":        `{"device":"d","values":{"a":1},"tags":{"a":"1"` + fill(`,"a":"\n"`) + `}}`,
		"a long name":         `{"device":"d","values":{"` + fill(`x`) + `":1}}`,
		"a long escaped name": `{"device":"d","values":{"` + fill(`\n`) + `":1}}`,
		"a long member":       `{"device":"d","values":{"a":1},"` + fill(`\n`) + `":1}`,
		"a long device":       `{"device":"` + fill(`\u0061`) + `","values":{"a":1}}`,
		"a long number":       `{"device":"d","values":{"a":0.` + fill(`1`) + `}}`,
		"a long ts":           `{"device":"d","ts":` + fill(`1`) + `,"values":{"a":1}}`,
		"empty envelopes":     `[{"events":[]}` + fill(`,{"events":[]}`) + `]`,
	} {
		b := newBatch(body)
		start := time.Now()
		if err := newDecoder(Config{}).Decode(b, JSON, Millisecond); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// It takes some milliseconds; quadratic work would take minutes.
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: %v", name, took)
		}
		if extra := b.Size() - cap(b.Body); extra > size {
			t.Errorf("%s: the batch holds %d bytes beside the body", name, extra)
		}
		for _, r := range b.Rejections {
			if len(r.Pointer)+len(r.Detail) > 1024 {
				t.Errorf("%s: a rejection of %d bytes", name, len(r.Pointer)+len(r.Detail))
			}
		}
	}
}

// TestStringsOutliveTheCall decodes many batches at a time with one decoder,
// and looks at each only when the decoder has been used again.
func TestStringsOutliveTheCall(t *testing.T) {
	t.Parallel()
	const workers, rounds = 4, 50
	d := newDecoder(Config{})
	var pool event.Pool
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			var last *event.Batch
			var want string
			for round := range rounds {
				id := fmt.Sprintf("%d-%d", worker, round)
				body := `{"device":"e` + id + `","tags":{"s":"` + id + `"},"events":[` +
					`{"values":{"a":1,"\u0062":2},"tags":{"t":"\u00e9` + id + `"}},{"device":"\u00e8` + id + `","values":{"a":3,"b":4}}]}`
				b := pool.Get(len(body))
				b.Body = append(b.Body[:0], body...)
				b.ReceivedAt = now
				if err := d.Decode(b, JSON, Millisecond); err != nil {
					t.Error(err)
				}
				if last != nil {
					if got := render(last); got != want {
						t.Errorf("got\n%swant\n%s", got, want)
					}
					last.Release()
				}
				last = b
				want = lines(`envelope 0-2 "e`+id+`" boot="" sent=0`,
					`0 e`+id+` @0 a=1 b=2 t:é`+id+` s:`+id, `1 è`+id+` @0 a=3 b=4 s:`+id)
			}
		})
	}
	wg.Wait()
}

// TestWalkersKeepNothing looks into the pool: what was decoded must not be
// kept alive by it.
func TestWalkersKeepNothing(t *testing.T) {
	t.Parallel()
	d := newDecoder(Config{})
	w := &walker{cfg: &d.cfg, ignored: d.ignored}
	w.begin(newBatch(string(referenceBody(3))), Millisecond)
	if fault := w.body(JSON); fault != nil || len(w.valueNames) != 3 {
		t.Fatal(fault, w.valueNames)
	}
	w.end()
	if w.b != nil || w.s != nil || w.device != "" || len(w.valueNames)+len(w.tagNames) != 0 {
		t.Errorf("%+v", w)
	}
	for _, name := range append(w.valueNames[:3], w.tagNames[:1]...) {
		if name != "" {
			t.Errorf("%q is kept", name)
		}
	}
}
