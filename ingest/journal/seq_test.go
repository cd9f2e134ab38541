package journal

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/segment"
)

// TestSequence appends from many goroutines while writes and syncs fail now
// and then. Whoever had a position has a sequence number, the numbers have no
// gap, and they are in the order of the positions.
func TestSequence(t *testing.T) {
	t.Parallel()
	seed := newSeed(t)
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS(t)
		j := open(t, "j", testConfig(), m.env())
		rng := rand.New(rand.NewPCG(seed, 0))
		m.setFault(func(_ int, op, path string) error {
			if (op == "write" || op == "sync") && strings.HasSuffix(path, segment.Suffix) && rng.IntN(10) == 0 {
				return syscall.EIO
			}
			return nil
		})
		var mu sync.Mutex
		var list []*event.Batch
		failed, refused := 0, 0
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for i := range 50 {
					b := makeBatch(i)
					b.Seq = 1 << 40 // of an earlier life
					_, err := j.AppendBatch(b, event.Durable)
					mu.Lock()
					switch {
					case b.Seq == 0 && err == nil:
						t.Error("an acknowledged batch has no sequence number")
					case b.Seq == 0:
						refused++
					default:
						list = append(list, b)
					}
					if err != nil && b.Seq != 0 {
						failed++
						if !errors.Is(err, ErrFailed) || b.Position != 0 {
							t.Errorf("batch %d fails with %v at position %d", b.Seq, err, b.Position)
						}
					}
					mu.Unlock()
					if err != nil {
						time.Sleep(retryAfter / 2)
					}
				}
			})
		}
		wg.Wait()
		slices.SortFunc(list, func(a, b *event.Batch) int { return int(a.Seq) - int(b.Seq) })
		end := event.Position(0)
		for i, b := range list {
			if b.Seq != uint64(i+1) {
				t.Fatalf("sequence number %d follows %d", b.Seq, i)
			}
			if b.Next == 0 {
				continue // failed
			}
			if b.Position < end {
				t.Fatalf("batch %d is at %d, the one before ended at %d", b.Seq, b.Position, end)
			}
			end = b.Next
		}
		if tail, last := j.TailSeq(); last != uint64(len(list)) || tail != j.Tail() || tail < end {
			t.Errorf("the tail is %d with number %d, want %d with %d", tail, last, j.Tail(), len(list))
		}
		if failed == 0 {
			t.Error("nothing failed")
		}
		t.Logf("%d appended, %d of them failed, %d refused before", len(list), failed, refused)
	})
}
