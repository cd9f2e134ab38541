package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"github.com/penstock-io/penstock/ingest/event"
)

// encoding is a Content-Encoding.
type encoding uint8

const (
	encIdentity encoding = iota
	encGzip
	encZstd
	encDeflate
	encSnappy
)

var encodingNames = [...]string{"identity", "gzip", "zstd", "deflate", "snappy"}

func (e encoding) String() string { return encodingNames[e] }

// maxZstdWindow is what RFC 9659 allows a sender of Content-Encoding: zstd.
const maxZstdWindow = 8 << 20

// decompressorBytes is what a set of decompressors holds at most: the window
// of zstd with its margin, and the small ones of the others.
const decompressorBytes = maxZstdWindow + 2<<20

var errTrailing = errors.New("data after the end of the compressed body")

// decompressors is one decompressor of each kind, made when first needed.
// Only as many sets as there are processors exist: a body is received whole
// before it is decompressed, so a set is never held by a slow client.
type decompressors struct {
	src    bytes.Reader
	gzip   *gzip.Reader
	zlib   io.ReadCloser
	flate  io.ReadCloser
	zstd   *zstd.Decoder
	snappy *snappy.Reader
}

// newDecompressors returns the sets in a channel from which they are borrowed.
func newDecompressors() chan *decompressors {
	sets := make(chan *decompressors, min(runtime.GOMAXPROCS(0), 16))
	for range cap(sets) {
		sets <- &decompressors{}
	}
	return sets
}

// decompress appends the decompressed body to dst, within the limit and the
// lease, like readAll. wire is borrowed.
func (s *Server) decompress(e encoding, wire, dst []byte, l *lease) (_ []byte, err error) {
	d := <-s.unpacker
	defer func() {
		if r := recover(); r != nil {
			d = &decompressors{} // its state is unknown
			s.metrics.panics.Inc()
			err = &event.Refusal{Cause: event.Internal, Err: fmt.Errorf("panic in decompression of %s: %v\n%s", e, r, debug.Stack())}
		}
		d.src.Reset(nil)
		s.unpacker <- d
	}()

	limit := int(s.cfg.MaxDecompressedBytes)
	if e == encSnappy && !bytes.HasPrefix(wire, snappyStream) {
		return decodeSnappy(wire, dst, limit, l)
	}
	if dst, err = l.extend(dst, min(4*len(wire), limit)); err != nil {
		return dst, err
	}
	d.src.Reset(wire)
	r, err := d.reader(e, wire)
	if err != nil {
		return dst, err
	}
	if dst, err = readAll(r, dst, -1, limit, l); err != nil {
		return dst, err
	}
	if d.src.Len() > 0 {
		return dst, errTrailing
	}
	return dst, nil
}

// reader lends the decompressor for e, set to read d.src, which is wire.
func (d *decompressors) reader(e encoding, wire []byte) (r io.Reader, err error) {
	switch e {
	case encGzip:
		if d.gzip == nil {
			d.gzip = new(gzip.Reader)
		}
		return d.gzip, d.gzip.Reset(&d.src)
	case encZstd:
		if d.zstd == nil {
			d.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
				zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderMaxMemory(maxZstdWindow))
			if err != nil {
				return nil, err
			}
		}
		return d.zstd, d.zstd.Reset(&d.src)
	case encDeflate:
		if !isZlib(wire) {
			if d.flate == nil {
				d.flate = flate.NewReader(&d.src)
				return d.flate, nil
			}
			return d.flate, d.flate.(flate.Resetter).Reset(&d.src, nil)
		}
		if d.zlib == nil {
			d.zlib, err = zlib.NewReader(&d.src)
			return d.zlib, err
		}
		return d.zlib, d.zlib.(zlib.Resetter).Reset(&d.src, nil)
	case encSnappy:
		if d.snappy == nil {
			d.snappy = snappy.NewReader(&d.src)
			return d.snappy, nil
		}
		d.snappy.Reset(&d.src)
		return d.snappy, nil
	}
	return &d.src, nil
}

// isZlib reports whether wire begins as RFC 1950 says. What RFC 9110 calls
// deflate does; but some clients send the bare stream of RFC 1951.
func isZlib(wire []byte) bool {
	return len(wire) >= 2 && wire[0]&0x0f == 8 && wire[0]>>4 <= 7 &&
		(uint(wire[0])<<8|uint(wire[1]))%31 == 0
}

// snappyStream begins the framing format. The block format, which Prometheus'
// remote write uses, begins with the decoded length instead; a block that
// began with these bytes would decode to something that begins with a NUL.
var snappyStream = []byte("\xff\x06\x00\x00sNaPpY")

// decodeSnappy decodes the block format. A block says how long it will be, which is
// only believed within what the format can express: three bytes stand for at
// most 64.
func decodeSnappy(wire, dst []byte, limit int, l *lease) ([]byte, error) {
	n, err := snappy.DecodedLen(wire)
	if err != nil {
		return dst, err
	}
	if n > 32*len(wire) {
		return dst, snappy.ErrCorrupt
	}
	if n > limit {
		return dst, errTooLarge
	}
	if dst, err = l.extend(dst, n); err != nil {
		return dst, err
	}
	decoded, err := snappy.Decode(dst[:cap(dst)], wire)
	if err != nil {
		return dst, err
	}
	return decoded, nil
}
