package journal

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-io/penstock/ingest/journal/disk"
	"github.com/penstock-io/penstock/ingest/journal/inspect"
	"github.com/penstock-io/penstock/ingest/journal/segment"
)

// memFS is a file system in memory that can fail, fill up and lose power. It
// is as unkind as POSIX lets a disk be:
//
//   - what was not synced is lost in a power cut, sector by sector, in any
//     order;
//   - names that were not synced with their directory are lost from some
//     point on;
//   - after a sync that fails, what it should have written counts as clean: a
//     later sync succeeds without it. Syncing such a file again is an error
//     of the test.
type memFS struct {
	t testing.TB

	mu      sync.Mutex
	files   map[string]*memInode // as the running system sees them
	kept    map[string]*memInode // as they are after a power cut
	renames []dirOp              // what kept lacks, in order
	locked  map[string]bool
	dead    bool // the process or the power is gone

	calls    int
	fault    func(n int, op, path string) error // decides whether a call fails
	capacity int64                              // 0 means no limit
}

type dirOp struct {
	dir  string
	name string    // path
	node *memInode // nil: removed
	from string    // for a rename, the path that goes
}

// memInode is a file. data is what the running system sees; disk what is on
// the disk for certain; dirty what may be or not.
type memInode struct {
	data, disk []byte
	dirty      []dirtyRange
	failed     bool // a sync has failed
}

// dirtyRange is a write, or with data nil a change of the size.
type dirtyRange struct {
	off  int64
	data []byte
}

var errPower = errors.New("power is cut")

func newMemFS(t testing.TB) *memFS {
	return &memFS{t: t, files: map[string]*memInode{}, kept: map[string]*memInode{}, locked: map[string]bool{}}
}

func (m *memFS) env() Env { return Env{FS: m, Now: time.Now} }

// call counts a call and decides whether it fails. The caller holds mu.
func (m *memFS) call(op, path string) error {
	if m.dead {
		return errPower
	}
	m.calls++
	if m.fault != nil {
		if err := m.fault(m.calls, op, path); err != nil {
			if m.dead {
				return errPower
			}
			return &fs.PathError{Op: op, Path: path, Err: err}
		}
	}
	return nil
}

// setFault makes f decide from now on.
func (m *memFS) setFault(f func(n int, op, path string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = f
}

// kill returns the file system as a new process finds it after kill -9: all
// that was written is there. The old one is dead.
func (m *memFS) kill() *memFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	n := newMemFS(m.t)
	n.capacity = m.capacity
	clones := map[*memInode]*memInode{nil: nil}
	clone := func(f *memInode) *memInode {
		if clones[f] == nil && f != nil {
			clones[f] = &memInode{data: slices.Clone(f.data), disk: slices.Clone(f.disk), dirty: slices.Clone(f.dirty)}
		}
		return clones[f]
	}
	for p, f := range m.files {
		n.files[p] = clone(f)
	}
	for p, f := range m.kept {
		n.kept[p] = clone(f)
	}
	for _, op := range m.renames {
		op.node = clone(op.node)
		n.renames = append(n.renames, op)
	}
	return n
}

// cut returns what is left after a power cut. The old one is dead.
func (m *memFS) cut(rng *rand.Rand) *memFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	n := newMemFS(m.t)
	n.capacity = m.capacity
	names := maps.Clone(m.kept)
	for _, op := range m.renames[:rng.IntN(len(m.renames)+1)] {
		op.apply(names)
	}
	for p, f := range names {
		disk := slices.Clone(f.disk)
		for _, d := range f.dirty {
			switch {
			case d.data == nil && rng.IntN(2) == 0:
				disk = resize(disk, d.off)
			case d.data != nil:
				disk = d.tear(disk, rng)
			}
		}
		n.files[p] = &memInode{data: disk, disk: slices.Clone(disk)}
		n.kept[p] = n.files[p]
	}
	return n
}

const sector = 512

// tear writes some of the sectors of d.
func (d dirtyRange) tear(disk []byte, rng *rand.Rand) []byte {
	keep := rng.IntN(4) // none, some, most, all
	for at := 0; at < len(d.data); {
		n := min(len(d.data)-at, sector-int((d.off+int64(at))%sector))
		if rng.IntN(3) < keep {
			end := d.off + int64(at+n)
			if int64(len(disk)) < end {
				disk = resize(disk, end)
			}
			copy(disk[d.off+int64(at):], d.data[at:at+n])
		}
		at += n
	}
	return disk
}

func (op dirOp) apply(names map[string]*memInode) {
	if op.from != "" {
		delete(names, op.from)
	}
	if op.node == nil {
		delete(names, op.name)
	} else {
		names[op.name] = op.node
	}
}

func resize(b []byte, size int64) []byte {
	if int64(len(b)) >= size {
		return slices.Clip(b[:size])
	}
	return append(slices.Clip(b), make([]byte, size-int64(len(b)))...)
}

func (m *memFS) change(op dirOp) {
	op.dir = filepath.Dir(op.name)
	op.apply(m.files)
	m.renames = append(m.renames, op)
}

func (m *memFS) used() int64 {
	var n int64
	for _, f := range m.files {
		n += int64(len(f.data))
	}
	return n
}

// size is used for those who do not hold mu.
func (m *memFS) size() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used()
}

func (m *memFS) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.call("mkdir", dir)
}

func (m *memFS) ReadDir(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("readdir", dir); err != nil {
		return nil, err
	}
	var names []string
	for p := range m.files {
		if filepath.Dir(p) == dir {
			names = append(names, filepath.Base(p))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (m *memFS) Create(path string) (disk.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("create", path); err != nil {
		return nil, err
	}
	node := &memInode{}
	m.change(dirOp{name: path, node: node})
	return &memFile{m: m, node: node, path: path, write: true}, nil
}

func (m *memFS) Open(path string, write bool) (disk.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("open", path); err != nil {
		return nil, err
	}
	node := m.files[path]
	if node == nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return &memFile{m: m, node: node, path: path, write: write}, nil
}

func (m *memFS) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("rename", to); err != nil {
		return err
	}
	node := m.files[from]
	if node == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	m.change(dirOp{name: to, node: node, from: from})
	return nil
}

func (m *memFS) Remove(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("remove", path); err != nil {
		return err
	}
	if m.files[path] == nil {
		return &fs.PathError{Op: "remove", Path: path, Err: fs.ErrNotExist}
	}
	m.change(dirOp{name: path})
	return nil
}

func (m *memFS) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("syncdir", dir); err != nil {
		return err
	}
	var rest []dirOp
	for _, op := range m.renames {
		if op.dir == dir {
			op.apply(m.kept)
		} else {
			rest = append(rest, op)
		}
	}
	m.renames = rest
	return nil
}

func (m *memFS) Free(dir string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("free", dir); err != nil {
		return 0, err
	}
	if m.capacity == 0 {
		return 1 << 40, nil
	}
	return m.capacity - m.used(), nil
}

func (m *memFS) Lock(path string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("lock", path); err != nil {
		return nil, err
	}
	if m.locked[path] {
		return nil, disk.ErrLocked
	}
	m.locked[path] = true
	return memLock{m, path}, nil
}

type memLock struct {
	m    *memFS
	path string
}

func (l memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.locked, l.path)
	return nil
}

type memFile struct {
	m     *memFS
	node  *memInode
	path  string
	write bool
}

// call is that of the file system, by the name that the file has now.
func (f *memFile) call(op string) error {
	if f.m.fault != nil {
		for p, node := range f.m.files {
			if node == f.node {
				f.path = p
			}
		}
	}
	return f.m.call(op, f.path)
}

func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.call("read"); err != nil {
		return 0, err
	}
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.node.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes a part of b when it fails.
func (f *memFile) WriteAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	err := f.call("write")
	if f.m.dead {
		return 0, err
	}
	if !f.write {
		f.m.t.Errorf("write to %s, which is open for reading", f.path)
	}
	n := len(b)
	if err != nil {
		n /= 2
	}
	if grow := off + int64(n) - int64(len(f.node.data)); grow > 0 && f.m.capacity > 0 && f.m.used()+grow > f.m.capacity {
		n = max(0, n-int(f.m.used()+grow-f.m.capacity))
		err = &fs.PathError{Op: "write", Path: f.path, Err: syscall.ENOSPC}
	}
	f.node.data = writeAt(f.node.data, b[:n], off)
	f.node.dirty = append(f.node.dirty, dirtyRange{off, slices.Clone(b[:n])})
	if err != nil {
		return n, err
	}
	return n, nil
}

func writeAt(dst, b []byte, off int64) []byte {
	if end := off + int64(len(b)); int64(len(dst)) < end {
		dst = resize(dst, end)
	}
	copy(dst[off:], b)
	return dst
}

func (f *memFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return int64(len(f.node.data)), f.call("size")
}

func (f *memFile) Truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.call("truncate"); err != nil {
		return err
	}
	f.resize(size)
	return nil
}

func (f *memFile) resize(size int64) {
	f.node.data = resize(f.node.data, size)
	f.node.dirty = append(f.node.dirty, dirtyRange{off: size})
}

func (f *memFile) Allocate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.call("allocate"); err != nil {
		return err
	}
	if grow := size - int64(len(f.node.data)); f.m.capacity > 0 && f.m.used()+grow > f.m.capacity {
		return &fs.PathError{Op: "allocate", Path: f.path, Err: syscall.ENOSPC}
	}
	f.resize(size)
	return nil
}

func (f *memFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.node.failed && !f.m.dead {
		f.m.t.Errorf("%s is synced again after a sync of it has failed", f.path)
	}
	if err := f.call("sync"); err != nil {
		// The kernel forgets what it could not write.
		f.node.failed, f.node.dirty = true, nil
		return err
	}
	for _, d := range f.node.dirty {
		if d.data == nil {
			f.node.disk = resize(f.node.disk, d.off)
		} else {
			f.node.disk = writeAt(f.node.disk, d.data, d.off)
		}
	}
	f.node.dirty = nil
	return nil
}

func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.call("close")
}

// segmentFiles returns the paths of the segments, oldest first.
func (m *memFS) segmentFiles() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var paths []string
	for p := range m.files {
		if strings.HasSuffix(p, segment.Suffix) {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	return paths
}

// image is a copy of the contents, for tests that damage them many times.
type image map[string][]byte

func (m *memFS) image() image {
	m.mu.Lock()
	defer m.mu.Unlock()
	img := image{}
	for p, f := range m.files {
		img[p] = slices.Clone(f.data)
	}
	return img
}

// boot returns a file system with the contents of img. It shares them, which
// is safe as long as it does not write in place; writeAt clips first.
func (img image) boot(t testing.TB) *memFS {
	m := newMemFS(t)
	for p, data := range img {
		n := &memInode{data: slices.Clone(data), disk: slices.Clone(data)}
		m.files[p], m.kept[p] = n, n
	}
	return m
}

// inspector looks at what m holds. No service writes to it meanwhile.
func inspector(m *memFS) inspect.Inspector { return inspect.Inspector{FS: m, Pause: func() {}} }
