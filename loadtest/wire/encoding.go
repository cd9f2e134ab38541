package wire

import (
	"bytes"
	"fmt"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Encoder compresses bodies, one after another. It belongs to one goroutine.
// It costs the generator far more than rendering does, so figures with and
// without compression are not to be compared.
type Encoder struct {
	name string
	buf  bytes.Buffer
	gz   *gzip.Writer
	zs   *zstd.Encoder
	out  []byte
}

// NewEncoder makes the encoder for "none", "gzip" or "zstd", at its fastest
// level.
func NewEncoder(name string) (*Encoder, error) {
	e := &Encoder{name: name}
	var err error
	switch name {
	case "none":
		e.name = ""
	case "gzip":
		e.gz, err = gzip.NewWriterLevel(&e.buf, gzip.BestSpeed)
	case "zstd":
		e.zs, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	default:
		err = fmt.Errorf("unknown content encoding %q", name)
	}
	return e, err
}

// Name is the value of Content-Encoding; empty where there is none.
func (e *Encoder) Name() string { return e.name }

// Encode lends the encoded form of body until the next call. Without an
// encoding that is body itself.
func (e *Encoder) Encode(body []byte) ([]byte, error) {
	switch {
	case e.gz != nil:
		e.buf.Reset()
		e.gz.Reset(&e.buf)
		if _, err := e.gz.Write(body); err != nil {
			return nil, fmt.Errorf("cannot gzip the body: %w", err)
		}
		if err := e.gz.Close(); err != nil {
			return nil, fmt.Errorf("cannot gzip the body: %w", err)
		}
		return e.buf.Bytes(), nil
	case e.zs != nil:
		e.out = e.zs.EncodeAll(body, e.out[:0])
		return e.out, nil
	}
	return body, nil
}
