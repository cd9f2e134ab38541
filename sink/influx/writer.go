// Package influx writes to stores that take InfluxDB's line protocol over
// HTTP: InfluxDB 1 to 3, QuestDB, VictoriaMetrics.
//
// One event is one line, with its values as fields. InfluxDB keeps one value
// per series, field and time: of several the one that was written last, so
// writing twice leaves one.
package influx

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/klauspost/compress/gzip"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/httpclient"
	"github.com/penstock-io/penstock/internal/secret"
	"github.com/penstock-io/penstock/internal/settings"
	"github.com/penstock-io/penstock/sink"
	"github.com/penstock-io/penstock/sink/remote"
)

// Writer is one store that takes line protocol. Its methods may be called by
// several goroutines at once, but for Close.
type Writer struct {
	cfg    Config
	client *remote.Client
	m      *writerMetrics

	// transmit sends a request's body; tests put something else there.
	transmit func(ctx context.Context, body []byte) error

	mu   sync.Mutex
	free []*scratch // as many as there were Writes at the same time
}

var _ sink.Volatile = (*Writer)(nil)

// scratch is the memory of one Write.
type scratch struct {
	liner   liner
	plain   []byte // the request that is being made
	samples int    // in plain
	packed  bytes.Buffer
	gzip    *gzip.Writer
}

// New returns a writer that has not connected yet.
func New(name string, cfg Config, log *slog.Logger, set *metrics.Set) (*Writer, error) {
	if err := settings.Validate(cfg); err != nil {
		return nil, err
	}
	token, err := secret.New("token", cfg.Token, cfg.TokenFile, httpclient.CheckHeader, log.With("sink", name))
	if err != nil {
		return nil, err
	}
	client, err := remote.New(name, cfg.Config, log, set)
	if err != nil {
		return nil, err
	}
	w := &Writer{cfg: cfg, client: client, m: newWriterMetrics(name, set)}
	target := cfg.target(client.URL())
	header := http.Header{"Content-Type": {"text/plain; charset=utf-8"}}
	if cfg.Compression == compressGzip {
		header["Content-Encoding"] = []string{"gzip"}
	}
	w.transmit = func(ctx context.Context, body []byte) error {
		header := header
		if token != nil {
			header = header.Clone()
			header["Authorization"] = []string{"Token " + token.Get()}
		}
		return client.Post(ctx, target, header, body)
	}
	return w, nil
}

// target returns where lines are sent to.
func (c Config) target(base *url.URL) *url.URL {
	query := base.Query()
	set := func(key, value string) {
		if value != "" {
			query.Set(key, value)
		}
	}
	path := "/write"
	if c.Bucket != "" {
		path = "/api/v2/write"
		set("bucket", c.Bucket)
		set("org", c.Organization)
	} else {
		set("db", c.Database)
		set("rp", c.RetentionPolicy)
	}
	query.Set("precision", "ms")
	base.Path = strings.TrimRight(base.Path, "/") + path
	base.RawPath = ""
	base.RawQuery = query.Encode()
	return base
}

// Lost is that of sink.Volatile.
func (w *Writer) Lost() <-chan struct{} { return w.client.Lost() }

// Sync returns at once: the protocol has no barrier.
func (w *Writer) Sync(context.Context) error { return nil }

// Close ends the connections. No Write may be running.
func (w *Writer) Close() error {
	w.client.Close()
	w.free = nil
	return nil
}

// Write borrows the batches and sends their events, one line each. An event
// that the protocol cannot hold, and one that VictoriaMetrics would drop
// without a word, is refused here: see liner and remote.LabelConfig.
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
			before := len(s.plain)
			var err error
			if s.plain, err = s.liner.append(s.plain, b, e); err != nil {
				return err
			}
			if before > 0 && len(s.plain) > int(w.cfg.MaxRequestBytes) {
				if err := w.post(ctx, s, before); err != nil {
					return err
				}
			}
			s.samples += len(b.Fields(e))
		}
	}
	return w.post(ctx, s, len(s.plain))
}

// Check sends a request without lines, and returns what the store says.
func (w *Writer) Check(ctx context.Context) error {
	s := w.take()
	defer w.give(s)
	return w.transmit(ctx, w.pack(s, nil))
}

// post sends the first n bytes of the lines, if there are any, and keeps the
// rest.
func (w *Writer) post(ctx context.Context, s *scratch, n int) error {
	if n == 0 {
		return nil
	}
	if err := w.transmit(ctx, w.pack(s, s.plain[:n])); err != nil {
		return err
	}
	w.m.samples.Add(s.samples)
	w.m.plain.Add(n)
	s.plain = s.plain[:copy(s.plain, s.plain[n:])]
	s.samples = 0
	return nil
}

// pack lends the body of a request for the lines, until the next call.
func (w *Writer) pack(s *scratch, lines []byte) []byte {
	if w.cfg.Compression == compressNone {
		return lines
	}
	s.packed.Reset()
	s.gzip.Reset(&s.packed)
	// A buffer has no errors.
	_, _ = s.gzip.Write(lines)
	_ = s.gzip.Close()
	return s.packed.Bytes()
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
	s := &scratch{liner: liner{
		measurement: w.cfg.Measurement,
		double:      w.cfg.EscapeBackslash,
		merger:      remote.NewMerger(w.cfg.LabelConfig),
	}}
	if w.cfg.Compression == compressGzip {
		// The level is a valid one, so there is no error.
		s.gzip, _ = gzip.NewWriterLevel(&s.packed, gzip.BestSpeed)
	}
	return s
}

func (w *Writer) give(s *scratch) {
	s.liner.reset()
	s.plain, s.samples = s.plain[:0], 0
	w.mu.Lock()
	w.free = append(w.free, s)
	w.mu.Unlock()
}
