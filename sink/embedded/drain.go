package embedded

import (
	"errors"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmstorage"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/cgroup"
)

// The engine keeps new rows in shards, of which it has as many as there were
// processors when the program began, and gives its shards a call's rows in
// turn. Its flush, which makes rows visible, puts what the shards have one
// behind the other and makes parts of up to partRows rows.
var engineShards = cgroup.AvailableCPUs()

const partRows = (8 << 20) / 48

// partsAtOnce is how many parts a flush makes. The engine makes them in
// parallel and then merges them, so that half of the cores are enough: the
// others are for those who send.
var partsAtOnce = max(engineShards/2, 1)

// drain puts into the engine what Write took before the call (with all), or
// at least a memtable that is full, and makes it visible to queries.
func (s *Store) drain(all bool) error {
	s.draining.Lock()
	defer s.draining.Unlock()
	if s.isClosed() {
		return ErrClosed
	}
	return s.drainLocked(all)
}

// drainLocked is drain for those who hold draining.
func (s *Store) drainLocked(all bool) error {
	if err := s.drainMemtable(false); err != nil || !all {
		return err
	}
	return s.drainMemtable(true)
}

// drainMemtable puts the full memtable into the engine, if there is one; with
// open, the open one if not.
func (s *Store) drainMemtable(open bool) error {
	w := s.buf.take(open)
	if w == nil {
		return nil
	}
	if err := s.addMemtable(w); err != nil {
		return err
	}
	s.buf.done()
	return nil
}

// addMemtable gives the memtable to the engine, which copies it. After an error,
// which is ErrReadOnly, a part of it is there.
func (s *Store) addMemtable(w *memtable) error {
	rows := w.sort()
	s.m.runs.Add(len(w.series))
	c := cursor{left: rows}
	for rows > 0 {
		// Of equal size, instead of a last one that is small.
		parts := (rows + partsAtOnce*partRows - 1) / (partsAtOnce * partRows)
		n := (rows + parts - 1) / parts
		if err := s.addPart(w, c, n); err != nil {
			return err
		}
		if rows -= n; rows > 0 {
			c.skip(w, n)
			c.left = rows
		}
	}
	return nil
}

// addPart gives the engine n rows from c on, in such a way that its flush
// finds them in order: each shard gets a stretch of its own.
func (s *Store) addPart(w *memtable, c cursor, n int) error {
	shards := len(s.stretches)
	for i := range s.stretches {
		from, to := i*n/shards, (i+1)*n/shards
		s.stretches[i] = c
		s.stretches[i].left = to - from
		if i < shards-1 {
			c.skip(w, to-from)
		}
	}
	longest := (n + shards - 1) / shards
	calls := (longest + maxRows - 1) / maxRows
	perCall := (longest + calls - 1) / calls
	for left := n; left > 0; {
		c := &s.stretches[(s.shard+1)%shards]
		for i := 2; c.left == 0; i++ {
			c = &s.stretches[(s.shard+i)%shards]
		}
		s.rows.emit(w, c, perCall)
		if err := s.rows.addRows(); err != nil {
			return ErrReadOnly // the only error that the engine has
		}
		s.shard = (s.shard + 1) % shards
		s.m.rows.Add(len(s.rows.rows))
		left -= len(s.rows.rows)
	}
	vmstorage.DebugFlush()
	return nil
}

// showInterval is how often new rows go to the engine if they do not fill a
// memtable before. They are visible then; within three seconds is promised.
const showInterval = time.Second

// drainLoop puts rows into the engine.
func (s *Store) drainLoop() {
	show := time.NewTicker(showInterval)
	defer show.Stop()
	for {
		all := false
		select {
		case <-s.stopping:
			return
		case <-s.buf.kick:
		case <-show.C:
			all = true
		}
		if err := s.drain(all); err != nil && !errors.Is(err, ErrReadOnly) && !errors.Is(err, ErrClosed) {
			s.log.Error("cannot add rows to the engine", "error", err)
		}
	}
}
