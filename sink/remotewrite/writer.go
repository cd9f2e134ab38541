package remotewrite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/settings"
	"github.com/penstock-io/penstock/sink"
	"github.com/penstock-io/penstock/sink/remote"
)

// Writer is one store that takes remote write. Its methods may be called by
// several goroutines at once, but for Close.
type Writer struct {
	cfg    Config
	client *remote.Client
	header http.Header
	m      *writerMetrics

	// transmit sends a request's body; tests put something else there.
	transmit func(ctx context.Context, body []byte) error

	mu   sync.Mutex
	free []*scratch // as many as there were Writes at the same time
}

var _ sink.Volatile = (*Writer)(nil)

// scratch is the memory of one Write.
type scratch struct {
	pendingSeries *pendingSeries
	encoder       encoder
	plain         []byte // the request that is being made
	packed        []byte
	samples       int // in plain
	zstd          *zstd.Encoder
}

// New returns a writer that has not connected yet.
func New(name string, cfg Config, log *slog.Logger, set *metrics.Set) (*Writer, error) {
	if err := settings.Validate(cfg); err != nil {
		return nil, err
	}
	client, err := remote.New(name, cfg.Config, log, set)
	if err != nil {
		return nil, err
	}
	w := &Writer{cfg: cfg, client: client, m: newWriterMetrics(name, set)}
	w.header = http.Header{
		"Content-Type":                      {"application/x-protobuf"},
		"Content-Encoding":                  {cfg.Compression},
		"X-Prometheus-Remote-Write-Version": {"0.1.0"},
	}
	if cfg.Compression == compressZstd {
		w.header["X-Victoriametrics-Remote-Write-Version"] = []string{"1"}
	}
	target := client.URL()
	w.transmit = func(ctx context.Context, body []byte) error {
		err := client.Post(ctx, target, w.header, body)
		var refused *sink.Refused
		if cfg.Compression == compressZstd && errors.As(err, &refused) && strings.Contains(refused.Detail, "snappy") {
			// Prometheus does not look at the encoding's name, and would refuse
			// every event.
			return fmt.Errorf("the store does not take zstd, set compression to snappy: %s", refused.Detail)
		}
		return err
	}
	if target.Path == "" {
		log.Warn("the url has no path; stores take remote write at one such as /api/v1/write", "sink", name)
	}
	return w, nil
}

// Lost is that of sink.Volatile.
func (w *Writer) Lost() <-chan struct{} { return w.client.Lost() }

// Sync returns at once: remote write has no barrier.
func (w *Writer) Sync(context.Context) error { return nil }

// Close ends the connections. No Write may be running.
func (w *Writer) Close() error {
	w.client.Close()
	for _, s := range w.free {
		if s.zstd != nil {
			_ = s.zstd.Close() // it writes nowhere
		}
	}
	w.free = nil
	return nil
}

// Write borrows the batches and sends their events, one sample per field. Of
// several samples with the same series and millisecond the largest is sent.
//
// What a store would drop without a word is refused here: see
// remote.LabelConfig.
func (w *Writer) Write(ctx context.Context, batches []*event.Batch) error {
	s := w.take()
	defer w.give(s)
	oldest := w.cfg.Oldest(time.Now())
	for _, b := range batches {
		for i := range b.Events {
			e := &b.Events[i]
			if e.Timestamp < oldest {
				return w.cfg.RefuseOld(e)
			}
			if err := s.pendingSeries.add(b, e); err != nil {
				return err
			}
			if s.pendingSeries.full() {
				if err := w.send(ctx, s); err != nil {
					return err
				}
				s.pendingSeries.reset()
			}
		}
	}
	return w.send(ctx, s)
}

// Check sends a request that holds nothing, and returns what the store says:
// nil, or a *sink.Refused if it is there and does not like that.
func (w *Writer) Check(ctx context.Context) error {
	if w.cfg.Compression == compressZstd {
		s := w.take()
		defer w.give(s)
		// One byte of protobuf would be cut short, so it is an unknown field.
		return w.transmit(ctx, s.zstd.EncodeAll([]byte{0x78, 0x00}, nil))
	}
	return w.transmit(ctx, s2.EncodeSnappy(nil, nil))
}

// send sends what is in the pendingSeries, in as many requests as it takes.
func (w *Writer) send(ctx context.Context, s *scratch) error {
	s.pendingSeries.sort()
	s.plain, s.samples = s.plain[:0], 0
	for i := range s.pendingSeries.series {
		x := &s.pendingSeries.series[i]
		g := &s.pendingSeries.groups[x.group]
		before, after := s.pendingSeries.labels[g.labels:g.name], s.pendingSeries.labels[g.name:g.end]
		samples := s.pendingSeries.members(x)
		for len(samples) > 0 {
			n := min(len(samples), maxRun)
			if len(s.plain) > 0 && len(s.plain)+s.encoder.size(len(before)+len(after), x.name, n) > int(w.cfg.MaxRequestBytes) {
				if err := w.post(ctx, s); err != nil {
					return err
				}
			}
			s.plain = s.encoder.appendSeries(s.plain, before, after, x.name, samples[:n])
			s.samples += n
			samples = samples[n:]
		}
	}
	return w.post(ctx, s)
}

// post sends the request that has been made, if it is not empty, and begins
// another.
func (w *Writer) post(ctx context.Context, s *scratch) error {
	if len(s.plain) == 0 {
		return nil
	}
	if w.cfg.Compression == compressZstd {
		s.packed = s.zstd.EncodeAll(s.plain, s.packed[:0])
	} else {
		s.packed = s2.EncodeSnappy(s.packed[:cap(s.packed)], s.plain)
	}
	if err := w.transmit(ctx, s.packed); err != nil {
		return err
	}
	w.m.samples.Add(s.samples)
	w.m.plain.Add(len(s.plain))
	s.plain, s.samples = s.plain[:0], 0
	return nil
}

// take lends the memory for a Write; give takes it back.
func (w *Writer) take() *scratch {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.free); n > 0 {
		s := w.free[n-1]
		w.free = w.free[:n-1]
		return s
	}
	s := &scratch{pendingSeries: newPendingSeries(remote.NewMerger(w.cfg.LabelConfig)), encoder: encoder{prefix: w.cfg.MetricPrefix}}
	if w.cfg.Compression == compressZstd {
		// The options are right, so there is no error.
		s.zstd, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
	}
	return s
}

func (w *Writer) give(s *scratch) {
	s.pendingSeries.reset()
	w.mu.Lock()
	w.free = append(w.free, s)
	w.mu.Unlock()
}
