package segment

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/disk"
)

// File is a segment that a directory holds.
type File struct {
	Path  string
	ID    uint64 // of the journal
	Base  event.Position
	End   event.Position // where its records end, if they are whole
	Bytes int64          // size of the file
	State HeaderState
}

// Listing is what a journal's directory holds.
type Listing struct {
	ID         uint64 // that all segments share; a new one if no header is whole
	Segments   []File // by position
	Unfinished []string
}

// List lists the segments in dir and finds out where each of them ends. It
// changes nothing. The end of the last one is that of its file. Unfinished are
// the paths of files that have no name of their own yet.
func List(fs disk.FS, dir string) (*Listing, error) {
	names, err := fs.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	list := &Listing{ID: rand.Uint64()}
	var headers []Header
	for _, name := range names {
		path := filepath.Join(dir, name)
		base, ok := ParseName(name)
		if !ok {
			if strings.HasSuffix(name, filepath.Ext(NextName)) {
				list.Unfinished = append(list.Unfinished, path)
			}
			continue
		}
		h, st, size, err := readHeader(fs, path, base)
		if err != nil {
			return nil, err
		}
		if st.Version != 0 && !st.OK {
			return nil, fmt.Errorf("segment %s has version %d, this program knows %d", name, st.Version, Version)
		}
		if st.OK {
			list.ID = h.ID
		}
		list.Segments = append(list.Segments, File{Path: path, ID: h.ID, Base: base, Bytes: size, State: st})
		headers = append(headers, h)
	}
	for i := range list.Segments {
		s := &list.Segments[i]
		if !s.State.OK {
			s.ID = list.ID
		}
		s.End = s.Base + event.Position(max(s.Bytes-HeaderLen, 0))
		if i+1 == len(list.Segments) {
			break
		}
		s.End = min(s.End, list.Segments[i+1].Base)
		if list.Segments[i+1].State.OK {
			// It knows better than the size of the file: what is missing is
			// damage, what is too much was refused.
			s.End = max(headers[i+1].PrevEnd, s.Base)
		}
	}
	return list, nil
}

// readHeader reads the header of the segment at path.
func readHeader(fs disk.FS, path string, base event.Position) (h Header, st HeaderState, size int64, err error) {
	f, err := fs.Open(path, false)
	if err != nil {
		return h, st, 0, err
	}
	defer f.Close()
	if size, err = f.Size(); err != nil {
		return h, st, 0, err
	}
	b := make([]byte, HeaderLen)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return h, st, 0, fmt.Errorf("cannot read the header of %s: %w", path, err)
	}
	return h, h.Parse(b[:n], base), size, nil
}
