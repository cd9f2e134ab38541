package journal

import (
	"fmt"
	"slices"

	"github.com/penstock-io/penstock/ingest/event"
)

// maxPending is how many bytes wait for the writer at most, but for a single
// record that is larger. There are two such buffers.
const maxPending = 4 << 20

// maxKeptBuffer is the largest buffer that is kept for reuse.
const maxKeptBuffer = 2 * maxPending

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
	h := recordHeader{
		time:   start.UnixMilli(),
		length: uint32(len(payload)),
		events: uint32(events),
		typ:    typeBatch,
		crc:    payloadCRC(payload),
	}
	ack := min(want, j.maxAck)
	rec, g, err := j.enqueue(&h, payload, ack > event.Queued)
	if err == nil && g != nil {
		g.done.Wait()
		err = g.err
		j.putGroup(g)
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
	e, _ := j.encoders.Get().(*encoder)
	if e == nil {
		e = newEncoder()
	}
	rec, ack, err := j.Append(e.encode(b), len(b.Events), want)
	if cap(e.buf) <= maxKeptBuffer {
		j.encoders.Put(e)
	}
	b.Seq = rec.Seq
	if err != nil {
		return 0, err
	}
	b.Position, b.Next = rec.Pos, rec.Next
	return ack, nil
}

// enqueue copies the record into the pending buffer. If wait is set it also
// returns the group to wait for, with a reference.
func (j *Journal) enqueue(h *recordHeader, payload []byte, wait bool) (Record, *group, error) {
	size := recordLen(len(payload))
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		if err := j.admit(int64(size)); err != nil {
			return Record{}, nil, err
		}
		p := j.fill
		if p.records == 0 || len(p.buf)+size <= j.pendingLimit {
			break
		}
		j.space.Wait()
	}
	p := j.fill
	h.pos = j.nextPos
	at := len(p.buf)
	p.buf = slices.Grow(p.buf, size)[:at+recordHeaderLen]
	h.put(p.buf[at:], j.seed)
	p.buf = append(p.buf, payload...)
	p.buf = append(p.buf, padding(len(payload))...)
	if p.records == 0 {
		j.wakeWriter()
	}
	p.records++
	j.nextPos += event.Position(size)
	j.lastSeq++
	var g *group
	if wait {
		g = p.group
		g.refs.Add(1)
	}
	return Record{Pos: h.pos, Next: j.nextPos, Seq: j.lastSeq}, g, nil
}

// admit returns why a record of that size is not taken. The caller holds mu.
func (j *Journal) admit(size int64) error {
	if j.closing {
		return ErrClosed
	}
	if j.refused != nil {
		return j.refused
	}
	if err := j.shortage(size); err != nil {
		j.refuse(err)
		return err
	}
	if j.sparse {
		j.free -= size
	}
	return nil
}

// shortage returns an ErrFull if there is no room for size more bytes. The
// caller holds mu.
func (j *Journal) shortage(size int64) error {
	if j.used+j.inflight+int64(len(j.fill.buf))+size > j.capacity {
		return fmt.Errorf("%w: %d bytes are stored, max_bytes is %d", ErrFull, j.used, j.cfg.MaxBytes)
	}
	if j.free < j.cfg.MinFreeBytes {
		return fmt.Errorf("%w: %d bytes are free on the file system, min_free_bytes is %d", ErrFull, j.free, j.cfg.MinFreeBytes)
	}
	return nil
}

// newGroup returns a group with one reference, that of the writer.
func (j *Journal) newGroup() *group {
	g, _ := j.groups.Get().(*group)
	if g == nil {
		g = &group{}
	}
	g.err = nil
	g.refs.Store(1)
	g.done.Add(1)
	return g
}

// finish tells everybody who waits.
func (g *group) finish(err error) {
	g.err = err
	g.done.Done()
}

// putGroup gives up a reference. The last one makes the group free for
// reuse, so nobody can still be waiting in it.
func (j *Journal) putGroup(g *group) {
	if g.refs.Add(-1) == 0 {
		j.groups.Put(g)
	}
}
