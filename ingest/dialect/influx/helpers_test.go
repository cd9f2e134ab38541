package influx

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penstock-io/penstock/ingest/dialect"
	"github.com/penstock-io/penstock/ingest/event"
)

// now is when the batches of these tests were received, in milliseconds.
var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC).UnixMilli()

func limits() dialect.Limits {
	return dialect.Limits{MaxEvents: 10_000, MaxFields: 64, MaxTags: 16, MaxNameBytes: 128,
		MaxTagBytes: 256, MaxDeviceBytes: 128, MaxPast: 365 * 24 * time.Hour, MaxFuture: 10 * time.Minute}
}

type values map[string]string

func (v values) Peek(name string) []byte {
	if s, ok := v[name]; ok {
		return []byte(s)
	}
	return nil
}

// request is one as the listener prepares it.
func request(method, path string, query, header values) *dialect.Request {
	return &dialect.Request{Method: []byte(method), Path: []byte(path), Query: query, Header: header,
		Want: event.Durable, Partial: true}
}

// decode decodes a body of version 1 and returns the batch as text.
func decodeText(t testing.TB, cfg Config, query values, body string) (string, *event.Batch) {
	t.Helper()
	d := New(cfg, limits())
	b := (&event.Pool{}).Get(len(body))
	b.Body = append(b.Body, body...)
	b.ReceivedAt = now
	r := request("POST", pathV1, query, values{})
	if err := d.Begin(r); err != nil {
		return "begin: " + err.Error(), b
	}
	if err := d.Decode(r, b); err != nil {
		return "decode: " + event.AsRefusal(err).Cause.String() + ": " + err.Error(), b
	}
	return text(b), b
}

// text is a batch with one line per event and per rejection.
func text(b *event.Batch) string {
	var out []string
	for i := range b.Events {
		e := &b.Events[i]
		var parts []string
		for _, f := range b.Fields(e) {
			parts = append(parts, fmt.Sprintf("%s=%v", f.Name, f.Value))
		}
		tags := slices.Clone(b.Tags(e))
		slices.SortFunc(tags, func(x, y event.Label) int { return strings.Compare(x.Name, y.Name) })
		for _, l := range tags {
			parts = append(parts, fmt.Sprintf("{%s=%s}", l.Name, l.Value))
		}
		out = append(out, fmt.Sprintf("%d %s@%d %s", e.Index, e.Device, e.Timestamp-now, strings.Join(parts, " ")))
	}
	for _, r := range b.Rejections {
		out = append(out, fmt.Sprintf("%d %s: %s", r.Index, r.Code, r.Detail))
	}
	return strings.Join(out, "\n")
}
