package inspect

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/record"
	"github.com/penstock-io/penstock/ingest/journal/segment"
)

// DumpOptions choose what Dump writes. The zero value means everything.
type DumpOptions struct {
	// From is the position below which records are left out.
	From event.Position
	// Records is how many records are written at most; 0 means all.
	Records int
}

// Dump writes the events of the journal in dir to w: one line of JSON each,
// as devices send them, with the position of their record and the time of
// receipt besides. Damaged records are left out; Verify names them.
func (x Inspector) Dump(dir string, w io.Writer, opts DumpOptions) error {
	out := bufio.NewWriter(w)
	var line []byte
	err := x.Each(dir, opts, func(b *event.Batch) error {
		for i := range b.Events {
			line = appendEvent(line[:0], b.Position, b, &b.Events[i])
			if _, err := out.Write(line); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

// Each calls f with the batch of each record of the journal in dir, in their
// order, and lends it for the call. Damaged records are left out.
func (x Inspector) Each(dir string, opts DumpOptions, f func(b *event.Batch) error) error {
	var pool event.Pool
	var dec record.Decoder
	seen := 0
	_, err := x.walk(dir, func(it *segment.Item) (bool, error) {
		if it.Header.Pos < opts.From {
			return true, nil
		}
		b := pool.Get(len(it.Payload))
		defer b.Release()
		b.Body = append(b.Body[:0], it.Payload...)
		if err := dec.Decode(b, b.Body); err != nil {
			return false, fmt.Errorf("record at %d: %w", it.Header.Pos, err)
		}
		b.Position = it.Header.Pos
		if err := f(b); err != nil {
			return false, err
		}
		seen++
		return seen != opts.Records, nil
	})
	return err
}

// appendEvent appends the line of one event.
func appendEvent(dst []byte, pos event.Position, b *event.Batch, e *event.Event) []byte {
	dst = fmt.Appendf(dst, `{"position":%d,"received_at":%d,"device":`, pos, b.ReceivedAt)
	dst = appendJSONString(dst, e.Device)
	dst = fmt.Appendf(dst, `,"ts":%d,"values":{`, e.Timestamp)
	for i, f := range b.Fields(e) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendJSONString(dst, f.Name), ':')
		if math.IsNaN(f.Value) || math.IsInf(f.Value, 0) {
			dst = append(dst, "null"...) // decode lets none through
			continue
		}
		dst = strconv.AppendFloat(dst, f.Value, 'g', -1, 64)
	}
	dst = append(dst, '}')
	for i, t := range b.Tags(e) {
		if i == 0 {
			dst = append(dst, `,"tags":{`...)
		} else {
			dst = append(dst, ',')
		}
		dst = append(appendJSONString(dst, t.Name), ':')
		dst = appendJSONString(dst, t.Value)
	}
	if len(b.Tags(e)) > 0 {
		dst = append(dst, '}')
	}
	return append(dst, "}\n"...)
}

func appendJSONString(dst []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil {
		return append(dst, `""`...) // a string always marshals
	}
	return append(dst, quoted...)
}
