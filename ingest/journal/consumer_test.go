package journal

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/inspect"
	"github.com/penstock-io/penstock/ingest/journal/segment"
	"github.com/penstock-io/penstock/internal/settings"
)

func TestConsumerProgress(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, testConfig(), OSEnv())
	var at []event.Position
	for i := range 20 {
		at = append(at, appendN(t, j, i).Position)
	}
	c, err := j.Consumer("store", 0)
	if err != nil {
		t.Fatal(err)
	}
	late, err := j.Consumer("late", j.Tail())
	if err != nil {
		t.Fatal(err)
	}
	if low, _ := late.Progress(); low != j.Tail() {
		t.Errorf("a consumer from the tail on starts at %d, the tail is %d", low, j.Tail())
	}
	// Out of order, touching, below low and empty.
	if err := c.SetProgress(at[3], []event.Range{{From: at[9], To: at[12]}, {From: at[5], To: at[6]}, {From: at[6], To: at[7]}, {From: at[1], To: at[2]}, {From: at[8], To: at[8]}}); err != nil {
		t.Fatal(err)
	}
	want := []event.Range{{From: at[5], To: at[7]}, {From: at[9], To: at[12]}}
	if low, done := c.Progress(); low != at[3] || !slices.Equal(done, want) {
		t.Errorf("progress is %d %v, want %d %v", low, done, at[3], want)
	}
	if got, want := c.Backlog(), uint64(j.Tail()-at[3]-(at[7]-at[5])-(at[12]-at[9])); got != want {
		t.Errorf("backlog is %d, want %d", got, want)
	}
	if err := c.SetProgress(at[1], nil); err != nil {
		t.Fatal(err)
	}
	if low, _ := c.Progress(); low != at[3] {
		t.Errorf("low moved back to %d", low)
	}
	if err := c.SetProgress(at[4], []event.Range{{From: at[4], To: at[5]}, {From: at[6], To: at[7]}}); err != nil {
		t.Fatal(err)
	}
	if err := c.SetProgress(j.Tail()+8, nil); err == nil {
		t.Error("progress past the tail is accepted")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	j = open(t, dir, testConfig(), OSEnv())
	if got := j.Consumers(); fmt.Sprint(got) != "[late store]" {
		t.Errorf("consumers are %v", got)
	}
	c, err = j.Consumer("store", j.Tail())
	if err != nil {
		t.Fatal(err)
	}
	if low, done := c.Progress(); low != at[5] || !slices.Equal(done, []event.Range{{From: at[6], To: at[7]}}) {
		t.Errorf("after the restart: %d %v", low, done)
	}
	for _, name := range []string{"", ".x", "a/b", "..", "x.tmp", strings.Repeat("x", 65)} {
		if _, err := j.Consumer(name, 0); err == nil {
			t.Errorf("the name %q is accepted", name)
		}
	}
}

// TestProgressDamaged begins anew with a consumer whose progress is damaged:
// everything is delivered again.
func TestProgressDamaged(t *testing.T) {
	t.Parallel()
	m := newMemFS(t)
	j := open(t, "j", testConfig(), m.env())
	c, err := j.Consumer("store", 0)
	if err != nil {
		t.Fatal(err)
	}
	appendN(t, j, 0)
	if err := c.SetProgress(j.Tail(), nil); err != nil {
		t.Fatal(err)
	}
	tail := j.Tail()
	img := m.image()
	img["j/consumers/store"][len("penstock progress 1\n")+6] ^= 1
	j2 := open(t, "j", testConfig(), img.boot(t).env())
	c2, err := j2.Consumer("store", 0)
	if err != nil {
		t.Fatal(err)
	}
	if low, done := c2.Progress(); low != 0 || done != nil {
		t.Errorf("progress is %d %v, want nothing", low, done)
	}
	if j2.Tail() < tail {
		t.Errorf("the tail went back from %d to %d", tail, j2.Tail())
	}
}

// TestSegmentRemoval lets segments go when all consumers have passed them,
// and only then.
func TestSegmentRemoval(t *testing.T) {
	t.Parallel()
	m := newMemFS(t)
	j := open(t, "j", testConfig(), m.env())
	var at []event.Position
	for i := range 200 {
		at = append(at, appendN(t, j, i).Position)
	}
	segments := len(m.segmentFiles())
	if segments < 4 {
		t.Fatalf("%d segments only", segments)
	}
	a, err := j.Consumer("a", 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := j.Consumer("b", 0)
	if err != nil {
		t.Fatal(err)
	}
	tail := j.Tail()
	if err := a.SetProgress(tail, nil); err != nil {
		t.Fatal(err)
	}
	if n := len(m.segmentFiles()); n != segments {
		t.Fatalf("%d segments are left of %d, though one consumer needs them", n, segments)
	}
	if err := b.SetProgress(at[100], []event.Range{{From: at[150], To: tail}}); err != nil {
		t.Fatal(err)
	}
	left := len(m.segmentFiles())
	if left >= segments || left < 2 {
		t.Fatalf("%d segments are left of %d", left, segments)
	}
	if h := j.Head(); h > at[100] || h == 0 {
		t.Errorf("head is %d, position %d is needed", h, at[100])
	}
	if got := readAll(t, j, at[100]); !slices.Equal(got, upTo(200)[100:]) {
		t.Errorf("%d records are left", len(got))
	}
	// A reader whose place is gone goes on with the oldest record.
	if got := readAll(t, j, 0); len(got) == 0 || got[len(got)-1] != 199 {
		t.Errorf("from the beginning: %v", got)
	}
	if err := j.DropConsumer("b"); err != nil {
		t.Fatal(err)
	}
	if n := len(m.segmentFiles()); n != 1 {
		t.Errorf("%d segments are left, want the one that is written", n)
	}
	if err := b.SetProgress(tail, nil); err == nil {
		t.Error("a dropped consumer has progress")
	}
	if _, err := m.Open("j/consumers/b", false); err == nil {
		t.Error("the progress of a dropped consumer is still there")
	}
	st := j.Stats()
	var size int64
	for p, data := range m.image() {
		if strings.HasSuffix(p, segment.Suffix) || strings.HasSuffix(p, segment.NextName) {
			size += int64(len(data))
		}
	}
	if st.DiskBytes != size {
		t.Errorf("stats say %d bytes on disk, it is %d", st.DiskBytes, size)
	}
	appendN(t, j, 200)
}

// TestPositionsAreNotReused loses records at the end that a sink has seen, as
// without syncs, and checks that their positions are not given to others.
func TestPositionsAreNotReused(t *testing.T) {
	t.Parallel()
	m := newMemFS(t)
	j := open(t, "j", testConfig(), m.env())
	c, err := j.Consumer("store", 0)
	if err != nil {
		t.Fatal(err)
	}
	first := appendN(t, j, 0)
	appendN(t, j, 1)
	tail := j.Tail()
	if err := c.SetProgress(0, []event.Range{{From: first.Next, To: tail}}); err != nil {
		t.Fatal(err)
	}
	img := m.image()
	path, _ := img.lastSegment()
	clear(img[path][segment.HeaderLen+first.Next:])
	j = open(t, "j", testConfig(), img.boot(t).env())
	if b := appendN(t, j, 2); b.Position < tail {
		t.Errorf("position %d is given again, the sink has finished up to %d", b.Position, tail)
	}
	if got := readAll(t, j, 0); fmt.Sprint(got) != "[0 2]" {
		t.Errorf("read %v, want 0 and 2", got)
	}
}

func TestInspectLive(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, testConfig(), OSEnv())
	if _, err := j.Consumer("store", 0); err != nil {
		t.Fatal(err)
	}
	events := 0
	for i := range 100 {
		events += len(appendN(t, j, i).Events)
	}
	rep, err := inspect.OS().Look(dir)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Records != 100 || rep.Events != events || rep.Tail != j.Tail() || len(rep.Problems) != 0 || rep.Oldest.IsZero() || len(rep.Segments) < 2 {
		t.Errorf("inspect finds %+v", rep)
	}
	if len(rep.Consumers) != 1 || rep.Consumers[0].Backlog != uint64(j.Tail()) {
		t.Errorf("inspect finds the consumers %+v", rep.Consumers)
	}
	var out strings.Builder
	if ok, err := inspect.OS().Verify(dir, &out); !ok || err != nil {
		t.Errorf("verify: %t, %v, %s", ok, err, out.String())
	}
	out.Reset()
	if err := inspect.OS().Dump(dir, &out, inspect.DumpOptions{From: 1, Records: 2}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(makeBatch(1).Events)+len(makeBatch(2).Events) {
		t.Fatalf("dump writes\n%s", out.String())
	}
	want := `"received_at":1795224292001,"device":"pump-1","ts":1795224292001,"values":{"temperature_c":22.5,"count":10},"tags":{"fw":"1.4.2","note":"xxx`
	if !strings.Contains(lines[0], want) {
		t.Errorf("dump writes %s\nwant %s", lines[0], want)
	}
	if _, err := inspect.OS().Look(dir + "/nothing"); err == nil {
		t.Error("inspect of nothing succeeds")
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	if err := settings.Validate(DefaultConfig()); err != nil {
		t.Errorf("the default settings: %v", err)
	}
	err := settings.Validate(Config{Sync: "always", SyncInterval: -1, MinFreeBytes: -1})
	typ := reflect.TypeFor[Config]()
	for i := range typ.NumField() {
		if key := typ.Field(i).Tag.Get("yaml"); key != "max_bytes" && !strings.Contains(fmt.Sprint(err), key+": must") {
			t.Errorf("no fault is reported for %s: %v", key, err)
		}
	}
	small := DefaultConfig()
	small.MaxBytes = 4 * small.SegmentBytes
	if err := settings.Validate(small); err == nil || !strings.Contains(err.Error(), "max_bytes: must") {
		t.Errorf("max_bytes without room for the largest record: %v", err)
	}
	if _, err := Open(t.TempDir(), Config{}, OSEnv(), quiet(), metrics.NewSet()); err == nil || errors.Is(err, ErrFailed) {
		t.Errorf("open with wrong settings: %v", err)
	}
}
