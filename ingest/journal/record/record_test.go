package record

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/penstock-io/penstock/ingest/event"
)

// reference returns a batch of n events like those of the reference work: 3
// numeric fields and a tag each.
func reference(n int) *event.Batch {
	b := new(event.Pool).Get(0)
	b.ReceivedAt = 1_795_224_292_123
	for i := range n {
		b.AddField("temperature_c", 21.53+float64(i)/7)
		b.AddField("humidity_pct", 47.25+float64(i)/3)
		b.AddField("pressure_hpa", 1013.07-float64(i)/9)
		b.AddTag("fw", "1.4.2")
		b.Commit(i, fmt.Sprintf("device-%06d", i), b.ReceivedAt-int64(i))
	}
	return b
}

// awkward returns a batch with everything that the codec treats specially.
func awkward() *event.Batch {
	b := new(event.Pool).Get(0)
	b.ReceivedAt = -5
	b.AddField("a", math.Copysign(0, -1))
	b.Commit(0, "", math.MaxInt64)
	b.AddField("a", 0)
	b.AddField("b", 1<<53)
	b.Commit(1, "x", math.MinInt64)
	b.AddField("a", 1<<53-1)
	b.AddField("b", -(1<<53 - 1))
	b.AddTag("t", "")
	b.Commit(2, "x", 0)
	n := 3
	for i := range 2 * maxNames { // more names than the decoder remembers
		b.AddField(fmt.Sprintf("n%d", i), math.SmallestNonzeroFloat64)
		if i%64 == 63 {
			b.Commit(n, "x", 0)
			n++
		}
	}
	b.AddTag("t", "shared")
	b.AddTag("u", strings.Repeat("long ", 100))
	b.ShareTags()
	for i := range 4 {
		b.AddField("n1", math.MaxFloat64)
		b.AddField(fmt.Sprint("n", 2*maxNames-1), math.Inf(1))
		if i == 2 {
			b.AddTag("t", "own")
		}
		b.Commit(n, "ünïcode \U0001F600 \x00\xff", 17)
		n++
	}
	b.UnshareTags()
	b.AddField("n1", 1)
	b.Commit(n, "last", 17)
	return b
}

// describe writes out everything that is journaled.
func describe(b *event.Batch) string {
	var s strings.Builder
	fmt.Fprintf(&s, "received %d\n", b.ReceivedAt)
	for i := range b.Events {
		e := &b.Events[i]
		fmt.Fprintf(&s, "%q %d %v %v\n", e.Device, e.Timestamp, b.Fields(e), b.Tags(e))
	}
	return s.String()
}

func decoded(t testing.TB, payload []byte) *event.Batch {
	t.Helper()
	var d Decoder
	b := new(event.Pool).Get(len(payload))
	b.Body = append(b.Body, payload...)
	if err := d.Decode(b, b.Body); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCodecRoundTrip(t *testing.T) {
	t.Parallel()
	batches := map[string]*event.Batch{
		"empty":     new(event.Pool).Get(0),
		"reference": reference(100),
		"awkward":   awkward(),
	}
	e := NewEncoder()
	for name, b := range batches {
		payload := append([]byte(nil), e.Encode(b)...)
		got := decoded(t, payload)
		if describe(got) != describe(b) {
			t.Errorf("%s: came back as\n%.2000s\nwant\n%.2000s", name, describe(got), describe(b))
		}
		if got.Total != len(b.Events) {
			t.Errorf("%s: total is %d, want %d", name, got.Total, len(b.Events))
		}
		// By the same encoder: which names lose their place is up to its seed.
		if again := e.Encode(got); string(again) != string(payload) {
			t.Errorf("%s: encodes differently after decoding", name)
		}
	}
	b := decoded(t, e.Encode(awkward()))
	if zero := b.Fields(&b.Events[0])[0].Value; zero != 0 || !math.Signbit(zero) {
		t.Errorf("minus zero came back as %v", zero)
	}
	if n := len(e.Encode(reference(100))); n > 45*100 {
		t.Errorf("100 reference events take %d bytes", n)
	}
	// Events of one envelope share their tags after decoding as before.
	last := b.Events[len(b.Events)-5:]
	if !b.SameTags(&last[0], &last[1]) || b.SameTags(&last[1], &last[2]) {
		t.Error("shared tags are not shared after decoding")
	}
}

// TestDecodeDamaged cuts and changes encoded batches. An error is fine, and so
// is another batch; a panic or a fit of allocation is not.
func TestDecodeDamaged(t *testing.T) {
	t.Parallel()
	payload := append([]byte(nil), NewEncoder().Encode(awkward())...)
	for cut := 0; cut < len(payload); cut += 1 + cut/200 {
		if err := tryDecode(t, payload[:cut]); err == nil {
			t.Fatalf("%d of %d bytes decode", cut, len(payload))
		}
	}
	if err := tryDecode(t, append(payload[:len(payload):len(payload)], 0)); err == nil {
		t.Error("a byte too many decodes")
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		bad := append([]byte(nil), payload...)
		for range 1 + rng.IntN(3) {
			bad[rng.IntN(len(bad))] = byte(rng.Uint32())
		}
		_ = tryDecode(t, bad)
	}
}

// tryDecode decodes, and checks that what was allocated is in proportion.
func tryDecode(t testing.TB, payload []byte) error {
	var d Decoder
	b := new(event.Pool).Get(0)
	err := d.Decode(b, payload)
	if size := b.Size(); size > 4096+120*len(payload) {
		t.Fatalf("%d bytes decode into %d", len(payload), size)
	}
	return err
}

func FuzzDecode(f *testing.F) {
	e := NewEncoder()
	for _, b := range []*event.Batch{reference(3), new(event.Pool).Get(0)} {
		f.Add(append([]byte(nil), e.Encode(b)...))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if tryDecode(t, payload) != nil {
			return
		}
		// What decodes encodes to something that decodes to the same.
		b := decoded(t, payload)
		again := decoded(t, NewEncoder().Encode(b))
		if describe(again) != describe(b) {
			t.Errorf("came back as\n%s\nwant\n%s", describe(again), describe(b))
		}
	})
}
