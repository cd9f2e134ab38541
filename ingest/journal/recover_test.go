package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/segment"
)

// TestIdlePowerCut cuts the power before anything was appended: nothing is
// damaged then.
func TestIdlePowerCut(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		m := newMemFS(t)
		j := open(t, "j", testConfig(), m.env())
		m = m.cut(rand.New(rand.NewPCG(seed, 0)))
		j.Close()
		var out strings.Builder
		if ok, err := inspector(m).Verify("j", &out); !ok || err != nil {
			t.Fatalf("seed %d: verify: %v\n%s", seed, err, out.String())
		}
	}
}

// TestRecoveredIsSynced kills the process with records that are written and
// not synced. What the next process delivers must survive a power cut.
func TestRecoveredIsSynced(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		m := newMemFS(t)
		cfg := testConfig()
		cfg.Sync = SyncOff
		j := open(t, "j", cfg, m.env())
		for i := range 5 {
			appendN(t, j, i)
		}
		if err := j.Wait(t.Context(), j.Tail()-1); err != nil {
			t.Fatal(err)
		}
		m = m.kill()
		j.Close()
		j = open(t, "j", cfg, m.env())
		if got := readAll(t, j, 0); len(got) != 5 {
			t.Fatalf("after kill -9: read %v", got)
		}
		m = m.cut(rand.New(rand.NewPCG(seed, 0)))
		j.Close()
		j = open(t, "j", cfg, m.env())
		if got := readAll(t, j, 0); len(got) != 5 {
			t.Fatalf("seed %d: after the power cut: read %v", seed, got)
		}
	}
}

// TestRefusedStaysRefused keeps a refused record in the file, whole, because
// cutting it off failed too. The next process must not deliver it: the next
// segment says where the records before it end.
func TestRefusedStaysRefused(t *testing.T) {
	t.Parallel()
	m := newMemFS(t)
	j := open(t, "j", testConfig(), m.env())
	appendN(t, j, 0)
	broken := true
	m.setFault(func(_ int, op, path string) error {
		if broken && (op == "sync" || op == "truncate") && strings.HasSuffix(path, segment.Suffix) {
			broken = op == "sync"
			return syscall.EIO
		}
		return nil
	})
	if _, err := j.AppendBatch(makeBatch(1), event.Durable); err == nil {
		t.Fatal("acknowledged")
	}
	appendN(t, j, 2)
	if got := readAll(t, j, 0); fmt.Sprint(got) != "[0 2]" {
		t.Errorf("read %v, want 0 and 2", got)
	}
	m = m.kill()
	j.Close()
	j = open(t, "j", testConfig(), m.env())
	if got := readAll(t, j, 0); fmt.Sprint(got) != "[0 2]" {
		t.Errorf("read %v after the restart, want 0 and 2", got)
	}
	if n := j.m.quarantined.Get(); n != 0 {
		t.Errorf("%d records in quarantine", n)
	}
}

// TestMissingEnd takes the last record of an ended segment away without a
// trace in its own file. The next segment knows that something is missing.
func TestMissingEnd(t *testing.T) {
	t.Parallel()
	img, log := makeLog(t, 64<<10, 300, 1200)
	first := "j/" + segment.Name(0)
	var last int
	for last = range log {
		if _, to := log[last].inFile(0); to == int64(len(img[first])) {
			break
		}
	}
	from, _ := log[last].inFile(0)
	img[first] = img[first][:from]
	if !detected(t, img) {
		t.Error("verify finds nothing")
	}
	alive, quarantined := survivors(t, img, log)
	if alive[last] || quarantined != 1 {
		t.Errorf("record %d is read back: %t; %d in quarantine", last, alive[last], quarantined)
	}
	alive[last] = true
	if slices.Contains(alive, false) {
		t.Error("another record is lost")
	}
}

// TestSeekAnywhere seeks to every position, record boundary or not.
func TestSeekAnywhere(t *testing.T) {
	t.Parallel()
	img, log := makeLog(t, 64<<10, 200, 1200)
	// A record in the middle is damaged in its header.
	bad := 50
	from, _ := log[bad].inFile(0)
	img["j/"+segment.Name(0)][from] ^= 1
	j := open(t, "j", testConfig(), img.boot(t).env())
	r := j.NewReader(0)
	defer r.Close()
	rng := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		pos := event.Position(rng.Uint64N(uint64(j.Tail())))
		r.Seek(pos)
		i := slices.IndexFunc(log, func(w written) bool { return w.Pos >= pos })
		if i == bad {
			i++
		}
		it, err := r.step()
		if err != nil {
			t.Fatal(err)
		}
		if i < 0 {
			if it.Kind != segment.End {
				t.Fatalf("from %d on there is a record at %d", pos, it.Header.Pos)
			}
			continue
		}
		if it.Kind != segment.Record || it.Header.Pos != log[i].Pos {
			t.Fatalf("from %d on: the record at %d, want %d", pos, it.Header.Pos, log[i].Pos)
		}
	}
	if n := j.m.quarantined.Get(); n != 1 {
		t.Errorf("%d records in quarantine, one is damaged", n)
	}
}

// TestUnknownVersion refuses to touch what another version has written.
func TestUnknownVersion(t *testing.T) {
	t.Parallel()
	img, _ := makeLog(t, 64<<10, 10, 100)
	path, base := img.lastSegment()
	h := segment.Header{ID: 1, Base: base, PrevEnd: base}
	b := h.Encode()
	for i := range segment.HeaderCopies {
		one := b[i*segment.HeaderCopyLen:][:segment.HeaderCopyLen]
		one[8] = segment.Version + 1
		binary.LittleEndian.PutUint32(one[segment.HeaderCopyLen-4:], crc32.Checksum(one[:segment.HeaderCopyLen-4], crc32.MakeTable(crc32.Castagnoli)))
	}
	copy(img[path], b)
	before := slices.Clone(img[path])
	m := img.boot(t)
	if _, err := Open("j", testConfig(), m.env(), quiet(), metrics.NewSet()); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("open: %v", err)
	}
	if _, err := inspector(m).Verify("j", io.Discard); err == nil {
		t.Error("verify succeeds")
	}
	if !slices.Equal(m.image()[path], before) {
		t.Error("the segment was changed")
	}
}
