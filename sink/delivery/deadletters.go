package delivery

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink"
)

// deadLetters is Target.DeadLetters, used by one goroutine at a time.
type deadLetters struct {
	mu   sync.Mutex
	kept sink.DeadLetters

	replaying sync.Mutex   // held by a replay
	loggedAt  atomic.Int64 // Unix nanoseconds
}

func (l *deadLetters) append(letters []sink.Letter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept.Append(letters)
}

func (l *deadLetters) read(pool *event.Pool, after string, limit int) ([]sink.Letter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept.Read(pool, after, limit)
}

func (l *deadLetters) remove(ids []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept.Remove(ids)
}

// logLettersEvery is how often dead letters are logged.
const logLettersEvery = 10 * time.Second

// deadLetter makes dead letters of what the store will never take. It returns
// when they are on disk, and false if ctx was done before that.
func (s *Sink) deadLetter(ctx context.Context, letters []sink.Letter) bool {
	if len(letters) == 0 {
		return true
	}
	for pause := newBackOff(s.cfg); ; sleep(ctx, pause.NextBackOff()) {
		err := s.letters.append(letters)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return false
		}
		s.m.letterErrors.Inc()
		s.store.fail(time.Now(), fmt.Errorf("cannot keep dead letters: %w", err), "cannot keep dead letters, will try again; events stay in the journal")
	}
	now := time.Now().UnixNano()
	if last := s.letters.loggedAt.Load(); now-last >= int64(logLettersEvery) && s.letters.loggedAt.CompareAndSwap(last, now) {
		l := letters[0]
		e := &l.Batch.Events[0]
		s.log.Error("the store refuses events; they are kept as dead letters",
			"events", len(letters), "device", e.Device, "ts", e.Timestamp,
			"field", l.Batch.Fields(e)[0].Name, "status", l.Status, "error", l.Detail)
	}
	return true
}
