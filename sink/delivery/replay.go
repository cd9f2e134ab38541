package delivery

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink"
	"github.com/penstock-io/penstock/sink/delivery/progress"
)

// Replayed is what has become of the dead letters in a replay.
type Replayed struct {
	// Stored have been taken by the store and are no dead letters any more.
	Stored int
	// Refused have been refused again and stay.
	Refused int
	// Error is what the store said of the last that it refused.
	Error string
}

const (
	// replayBatch is how many letters go to the store in one write.
	replayBatch = 1000
	// replayRound is how many letters are written before those that the store
	// took are removed, which needs a barrier, and Config.Hold to pass.
	replayRound = 50 * replayBatch
)

// Errors of Replay.
var (
	ErrNoDeadLetters = errors.New("the sink keeps no dead letters")
	ErrReplaying     = errors.New("a replay is running already")
)

// Replay writes the dead letters into the store again, with the labels that
// they had, and removes those that it has taken. What is refused again stays.
// It takes Config.Hold at least where there is something to remove. Ending it
// early by ctx, or closing the sink, is harmless: it can be repeated at any
// time and leaves one sample.
func (s *Sink) Replay(ctx context.Context) (Replayed, error) {
	var r Replayed
	if s.letters == nil {
		return r, ErrNoDeadLetters
	}
	if !s.letters.replaying.TryLock() {
		return r, ErrReplaying
	}
	defer s.letters.replaying.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()

	for after := ""; ; {
		round := replay{s: s, ctx: ctx}
		more, err := round.write(&after)
		r.Refused += round.refused
		if round.said != "" {
			r.Error = round.said
		}
		if err == nil {
			err = round.remove()
		}
		if err != nil {
			return r, err
		}
		r.Stored += len(round.stored)
		if !more {
			return r, nil
		}
	}
}

// replay is one round of Sink.Replay.
type replay struct {
	s     *Sink
	ctx   context.Context
	epoch uint64

	stored  []string // IDs
	refused int
	said    string
}

// write writes the letters of a round, beginning behind the one with the ID
// *after, and moves that on. It returns whether there are more.
func (r *replay) write(after *string) (more bool, err error) {
	r.epoch = r.s.epoch()
	for n := 0; n < replayRound; {
		letters, err := r.s.letters.read(r.s.src.Pool, *after, replayBatch)
		if err != nil {
			return false, fmt.Errorf("cannot read the dead letters: %w", err)
		}
		if len(letters) == 0 {
			return false, nil
		}
		*after = letters[len(letters)-1].ID
		n += len(letters)
		err = r.split(letters, false)
		for _, l := range letters {
			l.Batch.Release()
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// split writes the letters, in halves if they are refused together. known
// says that they are.
func (r *replay) split(letters []sink.Letter, known bool) error {
	if !known || len(letters) == 1 {
		batches := make([]*event.Batch, len(letters))
		for i, l := range letters {
			batches[i] = l.Batch
		}
		_, refused, err := r.s.retry.write(r.ctx, batches)
		if err != nil {
			return fmt.Errorf("replay ended early: %w", err)
		}
		if refused == nil {
			for _, l := range letters {
				r.stored = append(r.stored, l.ID)
			}
			return nil
		}
		r.said = refused.Error()
		if len(letters) == 1 {
			r.refused++
			return nil
		}
	}
	mid := len(letters) / 2
	before := r.refused
	if err := r.split(letters[:mid], false); err != nil {
		return err
	}
	return r.split(letters[mid:], r.refused == before)
}

// remove removes what the store took, once that is safe there.
func (r *replay) remove() error {
	if len(r.stored) == 0 {
		return nil
	}
	s := r.s
	if err := s.retry.w.Sync(r.ctx); err != nil {
		return fmt.Errorf("cannot sync the store: %w", err)
	}
	if sleep(r.ctx, s.cfg.Hold); r.ctx.Err() != nil {
		return fmt.Errorf("replay ended early: %w", r.ctx.Err())
	}
	if r.epoch != s.epoch() {
		return errors.New("the store may have restarted during the replay and lost what it took; replay again")
	}
	if err := s.letters.remove(r.stored); err != nil {
		return fmt.Errorf("cannot remove the letters that the store has taken: %w", err)
	}
	s.lanes.do(func(p *progress.Progress) { p.Replayed(len(r.stored)) })
	s.log.Info("dead letters replayed", "letters", len(r.stored))
	return nil
}
