package httpapi

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/penstock-io/penstock/ingest/decode"
	"github.com/penstock-io/penstock/ingest/event"
)

// faulty is an intake and a decoder, each method of which panics, or fails by
// a fault of ours, where it is told to.
type faulty struct {
	stub
	where string
}

func (f *faulty) fail(where string) {
	if f.where == where {
		panic("on purpose in " + where)
	}
}

func (f *faulty) Admit() error                       { f.fail("Admit"); return nil }
func (f *faulty) Screen(b *event.Batch) (int, error) { f.fail("Screen"); return f.stub.Screen(b) }
func (f *faulty) Accept(b *event.Batch, a event.Ack) (event.Ack, error) {
	f.fail("Accept")
	return f.stub.Accept(b, a)
}

func (f *faulty) Decode(b *event.Batch, _ decode.Format, _ decode.Precision) error {
	f.fail("Decode")
	if f.where == "decoding" {
		return &event.Refusal{Cause: event.Internal, Err: fmt.Errorf("panic in decoding: index out of range")}
	}
	b.AddField("a", 1)
	b.Commit(0, "device", 1)
	b.Total = 1
	return nil
}

// log is a writer that may be read while it is written to.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestFaultsOfOurs makes each step of a request fail by a fault of ours. The
// device did nothing wrong, so it is told to send again, and the operator gets
// a line that says which body it was, but not what was in it.
func TestFaultsOfOurs(t *testing.T) {
	t.Parallel()
	const body = `{"device":"private","values":{"a":1}}`
	digest := fmt.Sprintf("body_bytes=%d body_sha256=%x", len(body), sha256.Sum256([]byte(body)))
	none := fmt.Sprintf("body_bytes=0 body_sha256=%x", sha256.Sum256(nil))
	for where, logged := range map[string]string{"Admit": none, "Decode": digest, "decoding": digest, "Screen": digest, "Accept": digest} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			s := serve(t, testConfig(), nil)
			f := &faulty{where: where}
			var log logBuffer
			s.intake, s.dec, s.log = f, f, slog.New(slog.NewTextHandler(&log, nil))
			a := s.post(t, path, body)
			checkProblem(t, a)
			if a.StatusCode != 500 || a.code() != "internal_error" {
				t.Errorf("got %v", a)
			}
			if text := log.String(); !strings.Contains(text, logged) || strings.Contains(text, "private") {
				t.Errorf("the log lacks %s, or tells the body: %s", logged, text)
			}
			if n := s.metric(t, "penstock_http_panics_total"); n != 1 && where != "decoding" {
				t.Errorf("%v panics were counted", n)
			}
			f.where = ""
			if a := s.post(t, path, body); a.StatusCode != 204 {
				t.Errorf("afterwards: %v", a)
			}
		})
	}
}

// TestPanicBeforeContinue panics where fasthttp asks whether the body may
// come. Its answer must not be 200.
func TestPanicBeforeContinue(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(), nil)
	s.intake = &faulty{where: "Admit"}
	all := s.raw(t, 0, head+"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	if len(all) != 1 || all[0].StatusCode != 500 || !all[0].Close {
		t.Fatalf("got %v, want one 500 and the connection closed", all)
	}
	checkProblem(t, all[0])
}

// panicReader stands for a fault in a decompressor.
type panicReader struct{}

func (panicReader) Read([]byte) (int, error)      { panic("on purpose") }
func (panicReader) Reset(io.Reader, []byte) error { return nil }
func (panicReader) Close() error                  { return nil }

// TestPanicInDecompression checks that a fault in a decompressor is ours, and
// that the decompressor is not used again.
func TestPanicInDecompression(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(), nil)
	var log logBuffer
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	sets := cap(s.unpacker)
	for range sets {
		<-s.unpacker
		s.unpacker <- &decompressors{zlib: panicReader{}}
	}
	wire := compress(t, encDeflate, []byte(good))
	for range sets {
		a := s.post(t, path, wire, "Content-Encoding: deflate")
		checkProblem(t, a)
		if a.StatusCode != 500 || a.code() != "internal_error" {
			t.Errorf("got %v", a)
		}
	}
	if want := fmt.Sprintf("body_bytes=%d body_sha256=%x", len(wire), sha256.Sum256([]byte(wire))); !strings.Contains(log.String(), want) {
		t.Errorf("the log lacks %s: %s", want, log.String())
	}
	if n := s.metric(t, "penstock_http_panics_total"); n != float64(sets) {
		t.Errorf("%v panics were counted, want %d", n, sets)
	}
	if a := s.post(t, path, wire, "Content-Encoding: deflate"); a.StatusCode != 204 {
		t.Errorf("afterwards: %v", a)
	}
}
