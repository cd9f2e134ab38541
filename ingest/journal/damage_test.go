package journal

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/segment"
)

// written is a record as it was acknowledged.
type written struct {
	Record
	payload []byte
}

// inFile returns where the record lies in the file of its segment.
func (w written) inFile(base event.Position) (from, to int64) {
	return int64(w.Pos-base) + segment.HeaderLen, int64(w.Next-base) + segment.HeaderLen
}

// makeLog writes n records of up to maxLen bytes and returns the directory as
// it is while the service runs, with what is in it.
func makeLog(t *testing.T, segmentBytes int64, n, maxLen int) (image, []written) {
	t.Helper()
	cfg := testConfig()
	cfg.SegmentBytes = segmentBytes
	m := newMemFS(t)
	j := open(t, "j", cfg, m.env())
	rng := rand.New(rand.NewPCG(1, 1))
	log := make([]written, n)
	for i := range log {
		p := make([]byte, rng.IntN(maxLen))
		for k := range p {
			p[k] = byte(rng.Uint32())
		}
		rec, _, err := j.Append(p, 1, event.Durable)
		if err != nil {
			t.Fatal(err)
		}
		log[i] = written{rec, p}
	}
	// The maintainer cuts ended segments in its own time.
	for cut := false; !cut; {
		cut = true
		c := &j.catalog
		c.mu.Lock()
		for _, s := range c.list[:len(c.list)-1] {
			cut = cut && s.bytes == s.used
		}
		c.mu.Unlock()
	}
	img := m.image()
	for p := range img {
		if strings.HasSuffix(p, segment.NextName) {
			delete(img, p) // made by the maintainer, whenever it gets to it
		}
	}
	return img, log
}

// lastSegment returns the last segment of img and its position.
func (img image) lastSegment() (path string, base event.Position) {
	for p := range img {
		if b, ok := segment.ParseName(strings.TrimPrefix(p, "j/")); ok && (path == "" || b > base) {
			path, base = p, b
		}
	}
	return path, base
}

// survivors opens img and returns which records of log are read back. A
// record that is not in the log, or not as it was, fails the test.
func survivors(t *testing.T, img image, log []written) (alive []bool, quarantined int) {
	t.Helper()
	m := img.boot(t)
	j, err := Open("j", testConfig(), m.env(), quiet(), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	alive = make([]bool, len(log))
	r := j.NewReader(0)
	defer r.Close()
	for {
		it, err := r.step()
		if err != nil {
			t.Fatal(err)
		}
		if it.Kind == segment.End {
			return alive, int(j.m.quarantined.Get())
		}
		i, ok := slices.BinarySearchFunc(log, it.Header.Pos, func(w written, p event.Position) int {
			return int(int64(w.Pos) - int64(p))
		})
		if !ok || !bytes.Equal(it.Payload, log[i].payload) || r.Pos() != log[i].Next {
			t.Fatalf("the record at %d was never written", it.Header.Pos)
		}
		alive[i] = true
	}
}

func detected(t *testing.T, img image) bool {
	t.Helper()
	ok, err := inspector(img.boot(t)).Verify("j", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return !ok
}

// stride is how far apart the places are that the short form tries.
func stride(n int) int {
	if long() {
		return 1
	}
	return n
}

// TestTornTail cuts the last 64 KiB of a log at every byte.
func TestTornTail(t *testing.T) {
	t.Parallel()
	img, log := makeLog(t, 256<<10, 600, 1200)
	path, base := img.lastSegment()
	whole := img[path]
	_, end := log[len(log)-1].inFile(base)
	if end < 64<<10 {
		t.Fatalf("the last segment has %d bytes only", end)
	}
	cuts := 0
	for cut := end; cut > end-64<<10; cut -= int64(stride(67)) {
		img[path] = whole[:cut]
		alive, quarantined := survivors(t, img, log)
		for i, w := range log {
			_, to := w.inFile(base)
			want := w.Pos < base || to <= cut
			if alive[i] != want {
				t.Fatalf("cut at %d: record %d, which ends at %d, is read back: %t", cut, i, to, alive[i])
			}
		}
		if quarantined != 0 {
			t.Fatalf("cut at %d: %d records in quarantine", cut, quarantined)
		}
		cuts++
	}
	t.Logf("%d cuts", cuts)
}

// TestGarbageSectors replaces each sector of the last 64 KiB by garbage. Only
// records that have a part in the sector may be missing.
func TestGarbageSectors(t *testing.T) {
	t.Parallel()
	img, log := makeLog(t, 256<<10, 600, 1200)
	path, base := img.lastSegment()
	whole := img[path]
	rng := rand.New(rand.NewPCG(2, 2))
	_, end := log[len(log)-1].inFile(base)
	sectors := 0
	for at := (end - 64<<10) / sector * sector; at < end; at += sector * int64(stride(3)) {
		bad := slices.Clone(whole)
		for i := range min(sector, int64(len(bad))-at) {
			bad[at+i] = byte(rng.Uint32())
		}
		img[path] = bad
		if !detected(t, img) {
			t.Fatalf("garbage at %d is not detected", at)
		}
		alive, _ := survivors(t, img, log)
		for i, w := range log {
			from, to := w.inFile(base)
			hit := w.Pos >= base && from < at+sector && to > at
			if alive[i] == hit {
				t.Fatalf("garbage at %d: record %d at [%d, %d) is read back: %t", at, i, from, to, alive[i])
			}
		}
		sectors++
	}
	t.Logf("%d sectors", sectors)
}

// TestBitFlips flips single bits anywhere in the segments: in headers,
// records and what is allocated ahead.
func TestBitFlips(t *testing.T) {
	t.Parallel()
	img, log := makeLog(t, 64<<10, 300, 1200)
	var paths []string
	var total int
	for p, data := range img {
		if strings.HasSuffix(p, segment.Suffix) {
			paths = append(paths, p)
			total += len(data)
		}
	}
	slices.Sort(paths)
	flips := 700
	if long() {
		flips = 10_000
	}
	rng := rand.New(rand.NewPCG(3, 3))
	lost, quarantined := 0, 0
	for range flips {
		at := rng.IntN(total)
		path := ""
		for _, path = range paths {
			if at < len(img[path]) {
				break
			}
			at -= len(img[path])
		}
		bit := byte(1) << rng.IntN(8)
		img[path][at] ^= bit
		if !detected(t, img) {
			t.Fatalf("flip in %s at %d is not detected", path, at)
		}
		alive, q := survivors(t, img, log)
		missing := 0
		for _, a := range alive {
			if !a {
				missing++
			}
		}
		if missing > 1 || q > missing {
			t.Fatalf("flip in %s at %d: %d records lost, %d in quarantine", path, at, missing, q)
		}
		lost, quarantined = lost+missing, quarantined+q
		img[path][at] ^= bit
	}
	if detected(t, img) {
		t.Fatal("the whole log does not verify")
	}
	t.Logf("%d flips in %d segments: %d records lost, %d of them in quarantine, the others as a torn tail",
		flips, len(paths), lost, quarantined)
	if lost == 0 || quarantined == 0 {
		t.Error("no flip hit a record")
	}
}

// TestHeadersLost damages both copies of a segment's header at once, which
// costs nothing while another segment knows the journal's id.
func TestHeadersLost(t *testing.T) {
	t.Parallel()
	img, log := makeLog(t, 64<<10, 300, 1200)
	for path := range img {
		if !strings.HasSuffix(path, segment.Suffix) {
			continue
		}
		head := slices.Clone(img[path][:segment.HeaderLen])
		for i := range img[path][:segment.HeaderLen] {
			img[path][i] = 0xA5
		}
		if !detected(t, img) {
			t.Errorf("%s: not detected", path)
		}
		alive, _ := survivors(t, img, log)
		if i := slices.Index(alive, false); i >= 0 {
			t.Errorf("%s: record %d is lost", path, i)
		}
		copy(img[path], head)
	}
}

// TestForgedRecord plants a record's exact bytes, as an attacker could send
// them in the values of an event, at the very place where the scanner looks
// after the header before them was damaged.
func TestForgedRecord(t *testing.T) {
	t.Parallel()
	m := newMemFS(t)
	j := open(t, "j", testConfig(), m.env())
	// The attacker knows the position and the format, but not the id.
	forged := segment.RecordHeader{Pos: segment.RecordHeaderLen + 16, Length: 8, Events: 1, Type: segment.TypeBatch, CRC: segment.PayloadCRC(make([]byte, 8))}
	payload := make([]byte, 16+segment.RecordHeaderLen+8)
	forged.Put(payload[16:], segment.Seed(j.id^1))
	var log []written
	for _, p := range [][]byte{payload, []byte("next")} {
		rec, _, err := j.Append(p, 1, event.Durable)
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, written{rec, p})
	}
	img := m.image()
	path, _ := img.lastSegment()
	img[path][segment.HeaderLen] ^= 1
	alive, quarantined := survivors(t, img, log)
	if alive[0] || !alive[1] || quarantined != 1 {
		t.Errorf("read back: %v, %d in quarantine", alive, quarantined)
	}
	// With the right id it would have been taken, so the id is what counts.
	forged.Put(img[path][segment.HeaderLen+segment.RecordHeaderLen+16:], j.queue.seed)
	sc := segment.NewScanner(bytes.NewReader(img[path]), j.id, 0, log[1].Next)
	if it, err := sc.Next(); err != nil || it.Kind != segment.Damage || sc.Position(it.To) != forged.Pos {
		t.Errorf("the scanner finds %+v, %v", it, err)
	}
}

// TestMisplacedWrite has the disk write a record, whole and valid, over the
// place of another one.
func TestMisplacedWrite(t *testing.T) {
	t.Parallel()
	m := newMemFS(t)
	j := open(t, "j", testConfig(), m.env())
	var log []written
	for i := range 20 {
		p := bytes.Repeat([]byte{byte(i)}, 100)
		rec, _, err := j.Append(p, 1, event.Durable)
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, written{rec, p})
	}
	img := m.image()
	path, base := img.lastSegment()
	from, to := log[3].inFile(base)
	over, _ := log[12].inFile(base)
	copy(img[path][over:], img[path][from:to])
	if !detected(t, img) {
		t.Error("verify finds nothing")
	}
	alive, quarantined := survivors(t, img, log)
	if alive[12] || quarantined != 1 {
		t.Errorf("the record that was overwritten is read back: %t; %d in quarantine", alive[12], quarantined)
	}
	alive[12] = true
	if slices.Contains(alive, false) {
		t.Error("another record is lost")
	}
}

// TestQuarantine looks at what is kept of a damaged record, and that it is
// counted once.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	img, log := makeLog(t, 64<<10, 300, 1200)
	// One in the first segment, which only a reader finds, and one in the
	// last, which Open finds.
	path, base := img.lastSegment()
	first, last := 3, len(log)-3
	from, _ := log[first].inFile(0)
	img["j/"+segment.Name(0)][from+segment.RecordHeaderLen] ^= 1
	from, to := log[last].inFile(base)
	img[path][from] ^= 1
	want := slices.Clone(img[path][from:to])

	m := img.boot(t)
	for restart := range 2 {
		set := metrics.NewSet()
		j, err := Open("j", testConfig(), m.env(), quiet(), set)
		if err != nil {
			t.Fatal(err)
		}
		r := j.NewReader(0)
		n := 0
		for {
			it, err := r.step()
			if err != nil {
				t.Fatal(err)
			}
			if it.Kind == segment.End {
				break
			}
			n++
		}
		r.Close()
		if n != len(log)-2 {
			t.Errorf("%d records read back, want %d", n, len(log)-2)
		}
		if got, want := j.m.quarantined.Get(), uint64(2*(1-restart)); got != want {
			t.Errorf("start %d: %d records counted as damaged, want %d", restart, got, want)
		}
		j.Close()
	}
	rep, err := inspector(m).Look("j")
	if err != nil {
		t.Fatal(err)
	}
	if rep.Quarantined != 2 || len(rep.Problems) != 2 || rep.Records != len(log)-2 {
		t.Errorf("inspect finds %d files, %v, %d records", rep.Quarantined, rep.Problems, rep.Records)
	}
	found := false
	for p, data := range m.image() {
		found = found || strings.HasPrefix(p, "j/"+segment.QuarantineDir+"/") && bytes.Equal(data, want)
	}
	if !found {
		t.Error("the damaged bytes are not in the quarantine")
	}
}
