//go:build !race

package httpapi

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// BenchmarkServe is a request's whole way through the listener, without the
// kernel: parsing, reading, decoding and answering on one connection.
//
//	go test -run '^$' -bench Serve ./ingest/httpapi
func BenchmarkServe(b *testing.B) {
	hundred := []byte(reference(100))
	for _, bb := range []struct{ name, body, encoding string }{
		{"R1", string(hundred), "identity"},
		{"R3", reference(1), "identity"},
		{"R1/gzip", compress(b, encGzip, hundred), "gzip"},
		{"R1/zstd", compress(b, encZstd, hundred), "zstd"},
		{"R1/snappy", compress(b, encSnappy, hundred), "snappy"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			s := newTestServer(b, testConfig(), nil)
			q := &quiet{}
			s.intake = q
			request := postRequest(path, bb.body, "Content-Encoding: "+bb.encoding)
			b.SetBytes(int64(len(bb.body)))
			b.ReportAllocs()
			b.ResetTimer()
			if err := s.http.ServeConn(newConn(&replay{request: request, left: b.N})); err != nil {
				b.Fatal(err)
			}
			if want := b.N; q.events != want && q.events != 100*want {
				b.Fatalf("%d events in %d requests", q.events, want)
			}
		})
	}
}

// replay is a connection on which the same request arrives again and again,
// as from a client that waits for each answer.
type replay struct {
	net.Conn
	request string
	off     int
	left    int
}

func (r *replay) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.request[r.off:])
	if r.off += n; r.off == len(r.request) {
		r.off = 0
		r.left--
	}
	return n, nil
}

func (*replay) Write(p []byte) (int, error)        { return len(p), nil }
func (*replay) Close() error                       { return nil }
func (*replay) SetReadDeadline(time.Time) error    { return nil }
func (*replay) SetWriteDeadline(t time.Time) error { return nil }
func (*replay) RemoteAddr() net.Addr               { return &net.TCPAddr{} }
func (*replay) LocalAddr() net.Addr                { return &net.TCPAddr{} }

// BenchmarkReceive compares the streamed body, which is used, with fasthttp's
// own buffer and a copy of it.
func BenchmarkReceive(b *testing.B) {
	for _, bb := range []struct{ name, body string }{
		{"R1", reference(100)}, {"R3", reference(1)},
	} {
		s := newTestServer(b, testConfig(), nil)
		request := postRequest(path, bb.body)
		src := strings.NewReader(request)
		br := bufio.NewReaderSize(src, 8<<10)
		ctx := &fasthttp.RequestCtx{}
		ctx.Init(&fasthttp.Request{}, nil, nil)
		for _, streamed := range []bool{true, false} {
			name := bb.name + "/buffered"
			if streamed {
				name = bb.name + "/streamed"
			}
			b.Run(name, func(b *testing.B) {
				b.SetBytes(int64(len(bb.body)))
				b.ReportAllocs()
				r := new(scratch)
				r.lease.budget = &s.budget
				for b.Loop() {
					src.Reset(request)
					br.Reset(src)
					ctx.Request.ResetBody()
					if err := ctx.Request.Header.Read(br); err != nil {
						b.Fatal(err)
					}
					batch := s.pool.Get(len(bb.body))
					if streamed {
						if err := ctx.Request.ContinueReadBodyStream(br, 4<<20, false); err != nil {
							b.Fatal(err)
						}
						r.size = len(bb.body)
						if err := s.receive(ctx, r, batch); err != nil {
							b.Fatal(err)
						}
						r.lease.release()
					} else {
						if err := ctx.Request.ContinueReadBody(br, 4<<20, false); err != nil {
							b.Fatal(err)
						}
						batch.Body = append(batch.Body, ctx.Request.Body()...)
					}
					if len(batch.Body) != len(bb.body) {
						b.Fatal("the body is not whole")
					}
					batch.Release()
				}
			})
		}
	}
}
