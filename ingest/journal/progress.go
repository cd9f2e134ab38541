package journal

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/penstock-io/penstock/ingest/event"
)

// maxDone bounds how many intervals are persisted. Of more, the largest are
// kept: what is left out is delivered again, which is allowed.
const maxDone = 1024

// The progress of a consumer is a text file of one line per item, closed by
// the CRC-32C of the lines before:
//
//	penstock progress 1
//	low 0000000000012340
//	done 0000000000013000 0000000000014018
//	crc 1a2b3c4d
const progressTitle = "penstock progress 1\n"

// encodeProgress returns the file's contents.
func encodeProgress(low event.Position, done []event.Range) []byte {
	b := []byte(progressTitle)
	b = fmt.Appendf(b, "low %016x\n", low)
	for _, x := range done {
		b = fmt.Appendf(b, "done %016x %016x\n", x.From, x.To)
	}
	return fmt.Appendf(b, "crc %08x\n", crc32.Checksum(b, castagnoli))
}

// decodeProgress is the reverse of encodeProgress. It accepts nothing else.
func decodeProgress(b []byte) (low event.Position, done []event.Range, err error) {
	lines := bytes.Split(b, []byte("\n"))
	if len(lines) < 4 {
		return 0, nil, fmt.Errorf("progress is cut short")
	}
	if _, err := fmt.Sscanf(string(lines[1]), "low %x", &low); err != nil {
		return 0, nil, fmt.Errorf("progress has no low watermark: %w", err)
	}
	for _, line := range lines[2 : len(lines)-2] {
		var x event.Range
		if _, err := fmt.Sscanf(string(line), "done %x %x", &x.From, &x.To); err != nil {
			return 0, nil, fmt.Errorf("progress has a bad line %q: %w", line, err)
		}
		done = append(done, x)
	}
	if !bytes.Equal(encodeProgress(low, done), b) {
		return 0, nil, fmt.Errorf("progress has a wrong checksum")
	}
	return low, done, nil
}

// normalize sorts done, merges what touches, drops what lies below low or is
// empty, moves low over what touches it, and keeps the largest maxDone.
func normalize(low event.Position, done []event.Range) (event.Position, []event.Range) {
	list := slices.Clone(done)
	slices.SortFunc(list, func(a, b event.Range) int { return cmp.Compare(a.From, b.From) })
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
	if len(merged) > maxDone {
		slices.SortFunc(merged, func(a, b event.Range) int { return cmp.Compare(b.To-b.From, a.To-a.From) })
		merged = merged[:maxDone]
		slices.SortFunc(merged, func(a, b event.Range) int { return cmp.Compare(a.From, b.From) })
	}
	return low, merged
}
