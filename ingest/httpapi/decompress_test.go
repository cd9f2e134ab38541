package httpapi

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// compress returns body as e stands for it.
func compress(t testing.TB, e encoding, body []byte) string {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	switch e {
	case encIdentity:
		return string(body)
	case encGzip:
		w = gzip.NewWriter(&out)
	case encZstd:
		z, err := zstd.NewWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		w = z
	case encDeflate:
		w = zlib.NewWriter(&out)
	case encSnappy:
		return string(snappy.Encode(nil, body))
	}
	return finish(t, w, &out, body)
}

func finish(t testing.TB, w io.WriteCloser, out *bytes.Buffer, body []byte) string {
	t.Helper()
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func rawDeflate(t testing.TB, body []byte) string {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.DefaultCompression)
	if err != nil {
		t.Fatal(err)
	}
	return finish(t, w, &out, body)
}

func framedSnappy(t testing.TB, body []byte) string {
	var out bytes.Buffer
	return finish(t, snappy.NewBufferedWriter(&out), &out, body)
}

// forms are every way to send a body.
func forms(t testing.TB, body []byte) map[string]struct{ header, wire string } {
	type form = struct{ header, wire string }
	return map[string]form{
		"none":           {"", string(body)},
		"identity":       {"identity", string(body)},
		"gzip":           {"gzip", compress(t, encGzip, body)},
		"GZIP":           {"GZIP", compress(t, encGzip, body)},
		"x-gzip":         {"x-gzip", compress(t, encGzip, body)},
		"two members":    {"gzip", compress(t, encGzip, body[:len(body)/2]) + compress(t, encGzip, body[len(body)/2:])},
		"zstd":           {"zstd", compress(t, encZstd, body)},
		"deflate":        {"deflate", compress(t, encDeflate, body)},
		"raw deflate":    {"deflate", rawDeflate(t, body)},
		"snappy":         {"snappy", compress(t, encSnappy, body)},
		"snappy, framed": {"snappy", framedSnappy(t, body)},
	}
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(), nil)
	for _, n := range []int{1, 100, 5000} {
		body := []byte(reference(n))
		for name, f := range forms(t, body) {
			for _, framing := range []string{"length", "chunked"} {
				request := postRequest(path, f.wire, "Content-Encoding: "+f.header)
				if framing == "chunked" {
					request = head + chunk + "Content-Encoding: " + f.header + "\r\n\r\n" + chunks(f.wire)
				}
				a := s.raw(t, 1, request)[0]
				if a.Header.Get("Penstock-Accepted") != fmt.Sprint(n) {
					t.Errorf("%s, %s, %d events: got %v", name, framing, n, a)
				}
			}
		}
	}
	if first, last := s.in.devices[0], s.in.devices[len(s.in.devices)-1]; first != "device-00000" || last != "device-04999" {
		t.Errorf("the devices are %q to %q", first, last)
	}
}

func TestSeveralEncodings(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(), nil)
	wire := compress(t, encGzip, []byte(compress(t, encGzip, []byte(good))))
	for _, headers := range [][]string{
		{"Content-Encoding: gzip, gzip"},
		{"Content-Encoding: gzip", "Content-Encoding: gzip"},
		{"Content-Encoding: gzip", "Content-Encoding: identity"},
		{"Content-Encoding: br"},
		{"Content-Encoding: gzip;q=1"},
	} {
		a := s.post(t, path, wire, headers...)
		if a.code() != "unsupported_encoding" || !strings.Contains(a.Header.Get("Accept-Encoding"), "zstd") {
			t.Errorf("%q: got %v", headers, a)
		}
	}
}

// TestBombs sends three times the limit in spaces in each encoding, and
// watches how much of it is held.
func TestBombs(t *testing.T) {
	cfg := testConfig()
	cfg.MaxDecompressedBytes = 16 << 20
	s := serve(t, cfg, nil)
	const size = 48 << 20
	for name, f := range bombs(t, size) {
		if len(f.wire) > int(cfg.MaxBodyBytes) {
			t.Errorf("%s: the bomb has %d bytes on the wire", name, len(f.wire))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		a := s.post(t, path, f.wire, "Content-Encoding: "+f.header)
		runtime.ReadMemStats(&after)
		if a.code() != "decompressed_too_large" || a.Close {
			t.Errorf("%s: got %v", name, a)
		}
		// Doubling up to the limit takes twice the limit in all; the rest is
		// for the window of zstd, the body on the wire, and the test's client.
		if got := after.TotalAlloc - before.TotalAlloc; got > 3*uint64(cfg.MaxDecompressedBytes)+maxZstdWindow {
			t.Errorf("%s: %d MiB were allocated", name, got>>20)
		}
	}
	if n := s.inflightBytes(); n != 0 {
		t.Errorf("%d bytes are in flight afterwards", n)
	}
}

// bombs returns bodies of size spaces. Each format allows to repeat what
// stands for the first megabyte: as a member, a frame, a block or a chunk.
func bombs(t testing.TB, size int) map[string]struct{ header, wire string } {
	type form = struct{ header, wire string }
	spaces := bytes.Repeat([]byte(" "), 1<<20)
	times := size / len(spaces)
	var blocks bytes.Buffer
	w, err := flate.NewWriter(&blocks, flate.DefaultCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(spaces); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	deflate := strings.Repeat(blocks.String(), times)
	framed := framedSnappy(t, spaces)
	return map[string]form{
		"gzip":           {"gzip", strings.Repeat(compress(t, encGzip, spaces), times)},
		"zstd":           {"zstd", strings.Repeat(compress(t, encZstd, spaces), times)},
		"deflate":        {"deflate", "\x78\x9c" + deflate},
		"raw deflate":    {"deflate", deflate},
		"snappy":         {"snappy", string(snappy.Encode(nil, bytes.Repeat(spaces, times)))},
		"snappy, framed": {"snappy", framed[:len(snappyStream)] + strings.Repeat(framed[len(snappyStream):], times)},
	}
}

// TestLies sends headers that claim more than follows. Nothing near the claim
// may be allocated.
func TestLies(t *testing.T) {
	s := serve(t, testConfig(), nil)
	for name, f := range map[string]struct{ header, wire, code string }{
		"snappy block of 30 MiB":       {"snappy", string(binary.AppendUvarint(nil, 30<<20)) + "\x00a", "bad_encoding"},
		"snappy block of 4 GiB":        {"snappy", string(binary.AppendUvarint(nil, 4<<30)) + "\x00a", "bad_encoding"},
		"snappy block of 2^64-1":       {"snappy", string(binary.AppendUvarint(nil, math.MaxUint64)) + "\x00a", "bad_encoding"},
		"zstd content of 1 TiB":        {"zstd", "\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x01\x00\x00\x01\x00\x00", "bad_encoding"},
		"zstd content of 30 MiB":       {"zstd", "\x28\xb5\x2f\xfd\xa0\x00\x00\xe0\x01\x01\x00\x00", "bad_encoding"},
		"zstd window of 128 MiB":       {"zstd", "\x28\xb5\x2f\xfd\x00\x88\x01\x00\x00", "bad_encoding"},
		"zstd, dictionary not at hand": {"zstd", "\x28\xb5\x2f\xfd\x21\x07\x01\x01\x00\x00", "bad_encoding"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		a := s.post(t, path, f.wire, "Content-Encoding: "+f.header)
		runtime.ReadMemStats(&after)
		if a.code() != f.code {
			t.Errorf("%s: got %v", name, a)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 4<<20 {
			t.Errorf("%s: %d KiB were allocated", name, got>>10)
		}
	}
}

// TestDamagedBodies sends each encoding cut short, with garbage behind it,
// and with random bytes changed or made up. The answer is 4xx, or 2xx for
// damage that went unnoticed by a format without a checksum, and the server
// goes on.
func TestDamagedBodies(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(), nil)
	c := s.dial(t)
	defer c.Close()
	br := bufio.NewReader(c)
	send := func(header, wire string) answer {
		if _, err := io.WriteString(c, postRequest(path, wire, "Content-Encoding: "+header)); err != nil {
			t.Fatal(err)
		}
		a, err := readAnswer(br)
		if err != nil {
			t.Fatalf("%s %q: %v", header, wire, err)
		}
		return a
	}
	random := rand.New(rand.NewPCG(1, 2))
	for name, f := range forms(t, []byte(reference(20))) {
		if f.header == "" || f.header == "identity" {
			continue
		}
		for _, cut := range []int{0, 1, 2, len(f.wire) / 2, len(f.wire) - 1} {
			if a := send(f.header, f.wire[:cut]); a.StatusCode != 400 {
				t.Errorf("%s cut to %d of %d: got %v", name, cut, len(f.wire), a)
			}
		}
		if a := send(f.header, f.wire+"garbage"); a.code() != "bad_encoding" {
			t.Errorf("%s with garbage behind: got %v", name, a)
		}
		for range 200 {
			wire := []byte(f.wire)
			for range 1 + random.IntN(4) {
				wire[random.IntN(len(wire))] = byte(random.Uint32())
			}
			if a := send(f.header, string(wire)); a.StatusCode >= 500 {
				t.Errorf("%s damaged to %q: got %v", name, wire, a)
			}
			wire = wire[:random.IntN(64)]
			for i := range wire {
				wire[i] = byte(random.Uint32())
			}
			if a := send(f.header, string(wire)); a.StatusCode/100 != 4 {
				t.Errorf("%s made up as %q: got %v", name, wire, a)
			}
		}
	}
	if n := s.metric(t, "penstock_http_panics_total"); n != 0 {
		t.Errorf("%v panics", n)
	}
}
