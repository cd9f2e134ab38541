package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/checkpoint"
	"github.com/penstock-io/penstock/ingest/journal/record"
	"github.com/penstock-io/penstock/ingest/journal/segment"
)

// TestDirectoryOfTheFirstVersion opens a directory that the program wrote at
// commit adadf02, before the packages of the journal were parted, and that
// kill -9 has left: 60 batches of makeBatch in three segments, a fourth one
// prepared, and two consumers.
func TestDirectoryOfTheFirstVersion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/v1")); err != nil {
		t.Fatal(err)
	}
	j := open(t, dir, testConfig(), OSEnv())
	const tail = 130152
	if j.Head() != 0 || j.Tail() != tail || j.Committed() != tail {
		t.Errorf("head %d, tail %d, committed %d, want 0 and %d", j.Head(), j.Tail(), j.Committed(), tail)
	}
	if got := readAll(t, j, 0); !slices.Equal(got, upTo(60)) {
		t.Fatalf("read %v", got)
	}
	if got := fmt.Sprint(j.Consumers()); got != "[archive store]" {
		t.Errorf("consumers are %s", got)
	}
	for _, want := range []struct {
		name string
		low  event.Position
		done []event.Range
	}{
		{"archive", 7680, nil},
		{"store", 18168, []event.Range{{From: 23368, To: 47024}, {From: 63672, To: 67432}}},
	} {
		c, err := j.Consumer(want.name, tail)
		if err != nil {
			t.Fatal(err)
		}
		if low, done := c.Progress(); low != want.low || !slices.Equal(done, want.done) {
			t.Errorf("%s is at %d %v, want %d %v", want.name, low, done, want.low, want.done)
		}
		// Saving the same progress changes no byte of its file.
		before, err := os.ReadFile(filepath.Join("testdata/v1", checkpoint.Dir, want.name))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetProgress(want.low, want.done); err != nil {
			t.Fatal(err)
		}
		if after, err := os.ReadFile(filepath.Join(dir, checkpoint.Dir, want.name)); err != nil || !slices.Equal(before, after) {
			t.Errorf("progress of %s is written as\n%s(%v), it was\n%s", want.name, after, err, before)
		}
	}
	// It goes on where it ended.
	if b := appendN(t, j, 60); b.Position != tail {
		t.Errorf("the next record is at %d, want %d", b.Position, tail)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir, testConfig(), OSEnv())
	if got := readAll(t, j, 0); !slices.Equal(got, upTo(61)) {
		t.Errorf("read %v after the restart", got)
	}
}

// TestFormatIsUnchanged writes every record of the old directory anew, and
// compares all bytes.
func TestFormatIsUnchanged(t *testing.T) {
	t.Parallel()
	list, err := segment.List(OSEnv().FS, "testdata/v1")
	if err != nil {
		t.Fatal(err)
	}
	records := 0
	for i, s := range list.Segments {
		data, err := os.ReadFile(s.Path)
		if err != nil {
			t.Fatal(err)
		}
		var h segment.Header
		if st := h.Parse(data, s.Base); !st.OK {
			t.Fatalf("segment %d has no header", i)
		}
		again := h.Encode()
		f, err := OSEnv().FS.Open(s.Path, false)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		sc := segment.NewScanner(f, s.ID, s.Base, s.End)
		for {
			it, err := sc.Next()
			if err != nil {
				t.Fatal(err)
			}
			if it.Kind != segment.Record {
				break
			}
			payload := record.NewEncoder().Encode(decoded(t, it.Payload))
			head := segment.RecordHeader{Pos: it.Header.Pos, Time: it.Header.Time, Length: uint32(len(payload)), Events: it.Header.Events, Type: segment.TypeBatch, CRC: segment.PayloadCRC(payload)}
			at := len(again)
			again = append(again, make([]byte, segment.RecordHeaderLen)...)
			head.Put(again[at:], segment.Seed(s.ID))
			again = append(again, payload...)
			again = append(again, segment.Padding(len(payload))...)
			records++
		}
		if !slices.Equal(again, data[:len(again)]) {
			t.Errorf("segment %d is written differently", i)
		}
	}
	if records != 60 {
		t.Errorf("%d records, want 60", records)
	}
}

func decoded(t testing.TB, payload []byte) *event.Batch {
	t.Helper()
	var d record.Decoder
	b := new(event.Pool).Get(len(payload))
	b.Body = append(b.Body, payload...)
	if err := d.Decode(b, b.Body); err != nil {
		t.Fatal(err)
	}
	return b
}
