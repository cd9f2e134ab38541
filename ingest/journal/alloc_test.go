//go:build !race

package journal

import (
	"testing"

	"github.com/penstock-io/penstock/ingest/event"
)

func TestAllocations(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MinFreeBytes = 0
	j := open(t, t.TempDir(), cfg, OSEnv())
	one := reference(1)
	add := func() {
		if _, err := j.AppendBatch(one, event.Durable); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		add()
	}
	if n := testing.AllocsPerRun(200, add); n != 0 {
		t.Errorf("an append allocates %v times", n)
	}

	var pool event.Pool
	r := j.NewReader(0)
	defer r.Close()
	next := func() {
		b := pool.Get(1000)
		if ok, err := r.Next(b); !ok || err != nil {
			t.Fatal(ok, err)
		}
		b.Release()
	}
	next()
	if n := testing.AllocsPerRun(100, next); n != 0 {
		t.Errorf("reading a record allocates %v times", n)
	}
}
