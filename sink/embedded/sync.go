package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmstorage"
)

// Time between two looks at merges that Sync waits for.
const (
	minSettle = 2 * time.Millisecond
	maxSettle = 50 * time.Millisecond
)

// Sync returns when every row that Write took before the call is on disk,
// with its index, and survives a power cut. If ctx ends first, or there is an
// error, nothing is promised, and a later Sync makes up for it.
//
// The engine writes its memory to disk when a snapshot is made; there is no
// other way to ask for it. But a snapshot leaves out those parts in memory
// that are being merged at the moment, and their successor may be in memory
// again. So Sync makes two. The first carries nearly everything, while Writes
// go on. For the second they wait: what the first left is small, nothing new
// comes, and the engine's own counters tell when nothing is in memory any
// more. The snapshots are hard links and are removed at once.
func (s *Store) Sync(ctx context.Context) error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	start := time.Now()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.drain(true); err != nil {
		return err
	}
	// Close waits for syncing, so the engine is there until the end.
	if err := takeSnapshot(); err != nil {
		return err
	}

	s.draining.Lock()
	defer s.draining.Unlock()
	pause := time.Now()
	defer func() {
		s.m.paused.Update(time.Since(pause).Seconds())
		s.m.sync.Update(time.Since(start).Seconds())
	}()
	vmstorage.DebugFlush() // waits for rows that are between two lists
	for wait := minSettle; ; wait = min(2*wait, maxSettle) {
		st, err := s.stats()
		if err != nil {
			return fmt.Errorf("cannot tell what is on disk: %w", err)
		}
		if st.inMemory() > 0 && st.merging+st.idxMerging == 0 {
			if err := takeSnapshot(); err != nil {
				return err
			}
			if st, err = s.stats(); err != nil {
				return fmt.Errorf("cannot tell what is on disk: %w", err)
			}
		}
		s.observe(st)
		if st.inMemory() == 0 {
			return nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// takeSnapshot makes a snapshot and removes it.
func takeSnapshot() error {
	var made struct{ Snapshot string }
	if err := ask("/snapshot/create", &made); err != nil {
		return fmt.Errorf("cannot flush the store to disk: %w", err)
	}
	if err := ask("/snapshot/delete?snapshot="+url.QueryEscape(made.Snapshot), &struct{}{}); err != nil {
		return fmt.Errorf("cannot remove the snapshot %s: %w", made.Snapshot, err)
	}
	return nil
}

// deleteSnapshots removes what a crash has left.
func deleteSnapshots() error { return ask("/snapshot/delete_all", &struct{}{}) }

// ask calls the engine's own handler, the only way to its snapshots.
func ask(target string, answer any) error {
	w := httptest.NewRecorder()
	if !vmstorage.RequestHandler(w, httptest.NewRequest(http.MethodGet, target, nil)) {
		return errors.New("the engine does not know " + target)
	}
	if w.Code != http.StatusOK {
		return fmt.Errorf("the engine answered %d: %s", w.Code, w.Body)
	}
	return json.Unmarshal(w.Body.Bytes(), answer)
}
