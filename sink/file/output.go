package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/gofrs/flock"

	"github.com/penstock-io/penstock/internal/durable"
)

// disk is what the output needs of a file; tests make it fail.
type disk interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Stat() (fs.FileInfo, error)
	Close() error
}

// output is the file that is written.
type output struct {
	f    disk
	note *os.File     // see note
	lock *flock.Flock // on the note, as long as the output is open

	size   int64     // of what belongs into the file
	torn   bool      // the file may be longer than size
	synced int64     // how much of it is on disk for sure, as noted
	born   time.Time // when the file was begun
}

// note is what is known of the file, beside it. It is one line, and is written
// over in place: it is far smaller than what disks write as a whole.
type note struct {
	// Inode tells whether the file is still the one that was noted.
	Inode uint64 `json:"inode"`
	// Synced is how long the file was at its last sync.
	Synced int64 `json:"synced"`
	// Born is when the file was begun.
	Born time.Time `json:"born"`
}

// noteSize is the length of a note's line; it is padded with spaces.
const noteSize = 128

// open opens the file, or creates it, and cuts off what is not known to be
// whole. It returns how many bytes these were.
func open(n names) (_ *output, cut int64, err error) {
	if err := os.MkdirAll(n.dir, 0o755); err != nil {
		return nil, 0, fmt.Errorf("cannot create the directory: %w", err)
	}
	o := &output{}
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	if o.note, err = os.OpenFile(n.note(), os.O_RDWR|os.O_CREATE, 0o640); err != nil {
		return nil, 0, fmt.Errorf("cannot open the note beside the file: %w", err)
	}
	o.lock = flock.New(n.note())
	if free, err := o.lock.TryLock(); err != nil {
		return nil, 0, fmt.Errorf("cannot lock %s: %w", n.note(), err)
	} else if !free {
		return nil, 0, fmt.Errorf("%s: another sink or process writes this file", n.note())
	}
	f, err := os.OpenFile(n.path(), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot open the file: %w", err)
	}
	o.f = f
	info, err := o.f.Stat()
	if err != nil {
		return nil, 0, err
	}
	keep, err := o.resume(info)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot find the end of the file: %w", err)
	}
	if cut = info.Size() - keep; cut > 0 {
		if err := o.cut(keep); err != nil {
			return nil, 0, err
		}
	}
	o.size, o.synced = keep, keep
	// The names of both files must survive as well as what is in them.
	if err := errors.Join(o.sync(), durable.SyncDir(n.dir)); err != nil {
		return nil, 0, err
	}
	return o, cut, nil
}

// resume returns how much of the file is to be kept, and sets born.
func (o *output) resume(info fs.FileInfo) (keep int64, err error) {
	line := make([]byte, noteSize)
	k, err := o.note.ReadAt(line, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	var x note
	if json.Unmarshal(line[:k], &x) == nil && x.Inode == inode(info) && x.Inode != 0 && x.Synced <= info.Size() {
		o.born = x.Born
		return x.Synced, nil
	}
	o.born = time.Now()
	if info.Size() > 0 {
		o.born = info.ModTime()
	}
	return lastLine(o.f, info.Size())
}

// lastLine returns the end of the last whole line of f.
func lastLine(f io.ReaderAt, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for size > 0 {
		part := buf[:min(size, int64(len(buf)))]
		if _, err := f.ReadAt(part, size-int64(len(part))); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return size - int64(len(part)) + int64(i) + 1, nil
		}
		size -= int64(len(part))
	}
	return 0, nil
}

// write appends.
func (o *output) write(p []byte) error {
	n, err := o.f.WriteAt(p, o.size)
	o.size += int64(n)
	if err != nil {
		o.torn = true
		return fmt.Errorf("cannot write: %w", err)
	}
	return nil
}

// cut makes size the length of the file. If it fails mend tries again.
func (o *output) cut(size int64) error {
	o.size, o.torn = size, true
	return o.mend()
}

// mend cuts off what does not belong into the file.
func (o *output) mend() error {
	if !o.torn {
		return nil
	}
	if err := o.f.Truncate(o.size); err != nil {
		return fmt.Errorf("cannot take back what was written: %w", err)
	}
	o.torn = false
	return nil
}

// sync returns when the file is on disk, and a note of its length too.
func (o *output) sync() error {
	if err := o.f.Sync(); err != nil {
		return fmt.Errorf("cannot sync: %w", err)
	}
	info, err := o.f.Stat()
	if err != nil {
		return err
	}
	line, err := json.Marshal(note{Inode: inode(info), Synced: o.size, Born: o.born})
	if err != nil {
		return err
	}
	line = append(line, bytes.Repeat([]byte{' '}, max(noteSize-1-len(line), 0))...)
	if _, err := o.note.WriteAt(append(line, '\n'), 0); err != nil {
		return fmt.Errorf("cannot note what is synced: %w", err)
	}
	if err := o.note.Sync(); err != nil {
		return fmt.Errorf("cannot sync the note of what is synced: %w", err)
	}
	o.synced = o.size
	return nil
}

// at reports whether the file is the one at path.
func (o *output) at(path string) bool {
	there, err := os.Stat(path)
	if err != nil {
		return false
	}
	own, err := o.f.Stat()
	return err == nil && os.SameFile(there, own)
}

func (o *output) close() {
	// What matters was synced before.
	if o.f != nil {
		_ = o.f.Close()
	}
	if o.note != nil {
		_ = o.note.Close()
	}
	if o.lock != nil {
		_ = o.lock.Close()
	}
}
