// Package checkpoint is how far a consumer of the journal has come, and the
// files that keep it.
package checkpoint

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/penstock-io/penstock/ingest/event"
)

// Progress is how far a consumer has come. It is a value: nobody changes Done
// once it is there.
type Progress struct {
	// Low is the position below which everything is finished.
	Low event.Position
	// Done are finished ranges above Low, sorted and not touching.
	Done []event.Range
}

// MaxDone bounds how many ranges are persisted. Of more, the largest are
// kept: what is left out is delivered again, which is allowed.
const MaxDone = 1024

const title = "penstock progress 1\n"

// ErrDamaged is the error of bytes that Encode has not written.
var ErrDamaged = errors.New("progress is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode returns the contents of a progress file: a text of one line per item,
// closed by the CRC-32C of the lines before.
//
//	penstock progress 1
//	low 0000000000012340
//	done 0000000000013000 0000000000014018
//	crc 1a2b3c4d
func (p Progress) Encode() []byte {
	b := []byte(title)
	b = fmt.Appendf(b, "low %016x\n", p.Low)
	for _, x := range p.Done {
		b = fmt.Appendf(b, "done %016x %016x\n", x.From, x.To)
	}
	return fmt.Appendf(b, "crc %08x\n", crc32.Checksum(b, castagnoli))
}

// Decode is the reverse of Encode. It accepts nothing else.
func Decode(b []byte) (Progress, error) {
	var p Progress
	lines := bytes.Split(b, []byte("\n"))
	if len(lines) < 4 {
		return Progress{}, fmt.Errorf("%w: it is cut short", ErrDamaged)
	}
	if _, err := fmt.Sscanf(string(lines[1]), "low %x", &p.Low); err != nil {
		return Progress{}, fmt.Errorf("%w: it has no low watermark: %w", ErrDamaged, err)
	}
	for _, line := range lines[2 : len(lines)-2] {
		var x event.Range
		if _, err := fmt.Sscanf(string(line), "done %x %x", &x.From, &x.To); err != nil {
			return Progress{}, fmt.Errorf("%w: bad line %q: %w", ErrDamaged, line, err)
		}
		p.Done = append(p.Done, x)
	}
	if !bytes.Equal(p.Encode(), b) {
		return Progress{}, fmt.Errorf("%w: it has a wrong checksum", ErrDamaged)
	}
	return p, nil
}

// Normalize returns the progress that low and done, in any order, amount to:
// ranges that touch are merged, those below low or empty are left out, low
// moves over what touches it, and the largest MaxDone ranges are kept. It
// borrows done.
func Normalize(low event.Position, done []event.Range) Progress {
	byFrom := func(a, b event.Range) int { return cmp.Compare(a.From, b.From) }
	list := slices.Clone(done)
	slices.SortFunc(list, byFrom)
	merged := list[:0]
	for _, x := range list {
		if x.From <= low {
			low = max(low, x.To)
			continue
		}
		if x.From >= x.To {
			continue
		}
		if n := len(merged); n > 0 && x.From <= merged[n-1].To {
			merged[n-1].To = max(merged[n-1].To, x.To)
			continue
		}
		merged = append(merged, x)
	}
	if len(merged) > MaxDone {
		slices.SortFunc(merged, func(a, b event.Range) int { return cmp.Compare(b.To-b.From, a.To-a.From) })
		merged = merged[:MaxDone]
		slices.SortFunc(merged, byFrom)
	}
	return Progress{Low: low, Done: merged}
}

// End returns the position behind everything that is finished.
func (p Progress) End() event.Position {
	if n := len(p.Done); n > 0 {
		return max(p.Low, p.Done[n-1].To)
	}
	return p.Low
}

// Backlog returns how many bytes of positions below tail are not finished.
func (p Progress) Backlog(tail event.Position) uint64 {
	if tail <= p.Low {
		return 0
	}
	n := tail - p.Low
	for _, x := range p.Done {
		n -= min(x.To, tail) - min(x.From, tail)
	}
	return uint64(n)
}

// Has reports whether the record at pos is finished.
func (p Progress) Has(pos event.Position) bool {
	if pos < p.Low {
		return true
	}
	_, found := slices.BinarySearchFunc(p.Done, pos, func(x event.Range, pos event.Position) int {
		switch {
		case pos >= x.To:
			return -1
		case pos < x.From:
			return 1
		}
		return 0
	})
	return found
}
