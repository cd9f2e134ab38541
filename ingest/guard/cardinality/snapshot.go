package cardinality

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/penstock-io/penstock/internal/durable"
)

// A snapshot is a file of
//
//	magic       8 bytes
//	generation  8 bytes, of the time of writing
//	window      8 bytes, in nanoseconds
//	64 shards   each: the number of series (4 bytes), then for each
//	            its word (8 bytes) and the places of its device, metric and
//	            tenant among the accounts (4 bytes each)
//	tenants, metrics, devices
//	            each: their number (4 bytes), then for each the place of its
//	            tenant (4 bytes), the length of its name (2 bytes), the name
//	checksum    CRC-32C of everything before it, 4 bytes
//
// Numbers are little-endian. The accounts come last: some that belong to
// nobody may be among them, but none is missing.
const magic = "PSTCARD1"

var (
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)
	errSnapshot = errors.New("the snapshot is damaged")
)

// snapshot writes what is counted. It is called by Run only, because no
// account may be closed meanwhile: their places stand in the file.
func (g *Guard) snapshot(now time.Time) error {
	g.advance(now)
	err := os.MkdirAll(filepath.Dir(g.path), 0o750)
	if err == nil {
		err = durable.Replace(g.path, ".new", 0o640, g.write)
	}
	if err != nil {
		g.stats.snapshotErrors.Inc()
		return fmt.Errorf("cannot write %s: %w", g.path, err)
	}
	g.stats.snapshots.Inc()
	return nil
}

func (g *Guard) write(w io.Writer) error {
	sum := crc32.New(castagnoli)
	w = io.MultiWriter(w, sum)
	head := append([]byte(nil), magic...)
	head = binary.LittleEndian.AppendUint64(head, g.generation.Load())
	head = binary.LittleEndian.AppendUint64(head, uint64(g.cfg.Window))
	if _, err := w.Write(head); err != nil {
		return err
	}
	var buf []byte
	for i := range g.shards {
		buf = g.appendShard(buf[:0], i)
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	for _, of := range []*accounts{&g.tenants, &g.metrics, &g.devices} {
		if err := g.writeAccounts(w, of); err != nil {
			return err
		}
	}
	_, err := w.Write(binary.LittleEndian.AppendUint32(nil, sum.Sum32()))
	return err
}

// appendShard holds the lock for as long as copying takes.
func (g *Guard) appendShard(dst []byte, i int) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.shards[i].Load()
	dst = binary.LittleEndian.AppendUint32(dst, uint32(t.used))
	for j := range t.words {
		if word := t.words[j].Load(); word != 0 {
			o := t.owners[j]
			dst = binary.LittleEndian.AppendUint64(dst, word)
			dst = binary.LittleEndian.AppendUint32(dst, o.device)
			dst = binary.LittleEndian.AppendUint32(dst, o.metric)
			dst = binary.LittleEndian.AppendUint32(dst, o.tenant)
		}
	}
	return dst
}

func (g *Guard) writeAccounts(w io.Writer, of *accounts) error {
	g.mu.Lock()
	n := len(of.list)
	g.mu.Unlock()
	buf := binary.LittleEndian.AppendUint32(nil, uint32(n))
	for from := 0; from < n; from += scanned {
		g.mu.Lock()
		for i := from; i < min(from+scanned, n); i++ {
			a := &of.list[i]
			buf = binary.LittleEndian.AppendUint32(buf, a.tenant)
			buf = binary.LittleEndian.AppendUint16(buf, uint16(len(a.name)))
			buf = append(buf, a.name...)
		}
		g.mu.Unlock()
		if _, err := w.Write(buf); err != nil {
			return err
		}
		buf = buf[:0]
	}
	_, err := w.Write(buf)
	return err
}

// restore reads the snapshot into g, which is empty and has its generation.
// After an error g has to be cleared.
func (g *Guard) restore() error {
	f, err := os.Open(g.path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := &reader{in: bufio.NewReaderSize(f, 64<<10), sum: crc32.New(castagnoli)}
	if string(r.bytes(len(magic))) != magic {
		return fmt.Errorf("%w: it does not begin with %s", errSnapshot, magic)
	}
	written := r.uint64()
	window := r.uint64()
	// Ages are kept if the window was changed since: the windows of the past
	// are counted by the new one.
	if window == 0 || window > math.MaxInt64 || written > math.MaxInt64/window {
		return fmt.Errorf("%w: %d windows of %d ns", errSnapshot, written, window)
	}
	var passed uint64
	now := g.generation.Load()
	if before := written * window / uint64(g.cfg.Window); window == uint64(g.cfg.Window) {
		passed = now - min(written, now)
	} else {
		passed = now - min(before, now)
	}
	g.restoreSeries(r, written, passed)
	for _, of := range []*accounts{&g.tenants, &g.metrics, &g.devices} {
		g.restoreAccounts(r, of)
	}
	sum := r.sum.Sum32()
	if r.uint32() != sum && r.err == nil {
		r.err = fmt.Errorf("%w: its checksum is wrong", errSnapshot)
	}
	if r.err != nil {
		return r.err
	}
	return g.account()
}

// restoreSeries reads the shards. written is the generation of the snapshot,
// after which passed more have begun.
func (g *Guard) restoreSeries(r *reader, written, passed uint64) {
	gen := g.generation.Load()
	for i := range g.shards {
		for range r.uint32() {
			word := r.uint64()
			o := owners{r.uint32(), r.uint32(), r.uint32()}
			if r.err != nil {
				return
			}
			old := max(age(word, written), 0)
			key := word &^ (1<<genBits - 1)
			if key == 0 || key>>58 != uint64(i) {
				r.err = fmt.Errorf("%w: a series is where it does not belong", errSnapshot)
				return
			}
			// With a limit that was lowered the rest is forgotten.
			if passed+uint64(old) > 1 || g.series == g.cfg.MaxSeries {
				continue
			}
			if t := g.shards[i].Load(); t.full() {
				rebuild(&g.shards[i], gen, t.used/4, func(owners) {})
			}
			t := g.shards[i].Load()
			if place, there := t.slot(key); there != 0 {
				t.owners[place] = o
				continue
			}
			t.put(key, gen-passed-uint64(old), o)
			g.series++
		}
	}
}

func (g *Guard) restoreAccounts(r *reader, of *accounts) {
	for range r.uint32() {
		tenant, name := r.uint32(), string(r.bytes(int(r.uint16())))
		if r.err != nil {
			return
		}
		of.list = append(of.list, account{name: name, tenant: tenant})
	}
}

// account counts the series that were read in their accounts.
func (g *Guard) account() error {
	for i := range g.shards {
		t := g.shards[i].Load()
		for j := range t.words {
			if t.words[j].Load() == 0 {
				continue
			}
			o := t.owners[j]
			if int(o.device) >= len(g.devices.list) || int(o.metric) >= len(g.metrics.list) || int(o.tenant) >= len(g.tenants.list) {
				return fmt.Errorf("%w: a series is nobody's", errSnapshot)
			}
			g.devices.list[o.device].series++
			g.metrics.list[o.metric].series++
			g.tenants.list[o.tenant].series++
		}
	}
	g.tenants.reopen(func(a *account) uint64 { return accountKey(0, a.name) })
	for _, of := range []*accounts{&g.metrics, &g.devices} {
		for i := range of.list {
			if a := &of.list[i]; int(a.tenant) >= len(g.tenants.list) {
				return fmt.Errorf("%w: an account is of no tenant", errSnapshot)
			}
		}
		of.reopen(func(a *account) uint64 { return accountKey(a.tenant, a.name) })
	}
	return nil
}

// reopen opens the accounts that have series, and frees the places of the
// others.
func (a *accounts) reopen(key func(*account) uint64) {
	for i := range a.list {
		acc := &a.list[i]
		if acc.series == 0 {
			*acc = account{}
			a.free = append(a.free, uint32(i))
			continue
		}
		acc.open = true
		a.by[key(acc)] = uint32(i)
	}
}

// reader reads numbers and sums up the bytes. After an error it returns zeros.
type reader struct {
	in  *bufio.Reader
	sum hash.Hash32
	buf [math.MaxUint16]byte
	err error
}

// bytes lends the next n, at most 65,535, until the next call.
func (r *reader) bytes(n int) []byte {
	if r.err != nil {
		return nil
	}
	if _, err := io.ReadFull(r.in, r.buf[:n]); err != nil {
		r.err = fmt.Errorf("%w: %w", errSnapshot, err)
		return nil
	}
	_, _ = r.sum.Write(r.buf[:n]) // a hash takes everything
	return r.buf[:n]
}

func (r *reader) uint64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}
