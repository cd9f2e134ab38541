package journal

import (
	"fmt"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/record"
	"github.com/penstock-io/penstock/ingest/journal/segment"
)

// Record is where a record lies.
type Record struct {
	// Pos is its position, Next that of the record after it.
	Pos, Next event.Position
	// Seq numbers the records since Open; see event.Batch.
	Seq uint64
}

// Append appends one record and returns when it is as safe as want, or as
// safe as the configuration allows if that is less; ack says which. It
// borrows payload.
//
// With event.Queued it does not wait for the disk: the record is in the
// pending buffer. After an error the record is not acknowledged: with
// ErrFull, ErrClosed and ErrTooLarge nothing was written, with ErrFailed it
// is not known. After an error the Record has no position, but if it had been
// given one before it failed, it keeps its Seq.
func (j *Journal) Append(payload []byte, events int, want event.Ack) (Record, event.Ack, error) {
	if int64(len(payload)) > j.cfg.MaxRecordBytes {
		return Record{}, 0, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(payload), j.cfg.MaxRecordBytes)
	}
	start := j.env.Now()
	h := segment.RecordHeader{
		Time:   start.UnixMilli(),
		Length: uint32(len(payload)),
		Events: uint32(events),
		Type:   segment.TypeBatch,
		CRC:    segment.PayloadCRC(payload),
	}
	ack := min(want, j.maxAck)
	rec, g, err := j.queue.enqueue(&h, payload, ack > event.Queued)
	if err == nil && g != nil {
		g.done.Wait()
		err = g.err
		j.queue.groups.put(g)
	}
	if err != nil {
		return Record{Seq: rec.Seq}, 0, err
	}
	j.m.append.Update(j.env.Now().Sub(start).Seconds())
	return rec, ack, nil
}

// AppendBatch is Append of b in the form that Reader.Next decodes. It borrows
// b, and sets its Position and Next unless it fails, and its Seq always: to 0
// if it was refused before it had a place among the others.
func (j *Journal) AppendBatch(b *event.Batch, want event.Ack) (event.Ack, error) {
	e, _ := j.encoders.Get().(*record.Encoder)
	if e == nil {
		e = record.NewEncoder()
	}
	rec, ack, err := j.Append(e.Encode(b), len(b.Events), want)
	if e.Cap() <= maxKeptBuffer {
		j.encoders.Put(e)
	}
	b.Seq = rec.Seq
	if err != nil {
		return 0, err
	}
	b.Position, b.Next = rec.Pos, rec.Next
	return ack, nil
}

// MemoryLimit returns the bytes that the journal's buffers hold at most while
// records are of common size: one gathers while the other is written. A
// larger record than that lives in them alone.
func (j *Journal) MemoryLimit() int64 { return 2 * maxKeptBuffer }
