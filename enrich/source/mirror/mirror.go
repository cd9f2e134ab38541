// Package mirror keeps devices and their labels in a file that Penstock
// writes itself: copies of what was fetched, and what was set over the API. A
// snapshot is followed by the changes since. A change is appended and synced; when there
// are many, the file is written anew. The file is NDJSON and can be read, and
// mended, with an editor.
//
//	{"penstock":"devices","version":1,"of":"..."}
//	{"device":"pump-17","labels":{"site":"north"}}
//	{"device":"pump-17","gone":true}
//
// A line that says something about a device replaces what earlier lines said.
// The last line may be torn by a crash: it was never confirmed, so it is cut
// off. Any other line that makes no sense is an error.
package mirror

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/penstock-io/penstock/enrich/row"
	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/durable"
)

// ErrOther means that the file is of something else: a source whose settings
// have changed since.
var ErrOther = errors.New("is of other settings")

// maxLine bounds one line, in bytes.
const maxLine = 1 << 20

// File is a file of devices. Its methods are called by one goroutine at a time.
type File struct {
	path string
	of   string

	appended int  // lines since the file was written anew
	whole    bool // the file is there and ends with a whole line
}

// New returns the file at path, without looking at it. of says what
// the devices are of; a file that is of something else is not used.
func New(path, of string) *File { return &File{path: path, of: of} }

// Path returns the path of the file.
func (l *File) Path() string { return l.path }

// Appended returns how many lines the file has beyond its snapshot. Their
// number is for the caller to bound, by Replace.
func (l *File) Appended() int { return l.appended }

type header struct {
	Penstock string `json:"penstock"`
	Version  int    `json:"version"`
	Of       string `json:"of,omitempty"`
}

type line struct {
	Device string            `json:"device"`
	Labels map[string]string `json:"labels,omitempty"`
	Gone   bool              `json:"gone,omitempty"`
}

// Read calls take for every line, in order; the labels are sorted by name. A
// file that does not exist is an error that is fs.ErrNotExist, one that is of
// other settings ErrOther. torn reports that an unfinished last line was cut
// off.
func (l *File) Read(take func(row.Row) error) (torn bool, err error) {
	f, err := os.OpenFile(l.path, os.O_RDWR, 0)
	if err != nil {
		return false, fmt.Errorf("cannot open the file of devices: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	l.appended, l.whole = 0, false

	r := bufio.NewReaderSize(f, 64<<10)
	var end int64 // of the last whole line
	for n := 1; ; n++ {
		text, err := readLine(r)
		if errors.Is(err, io.EOF) {
			if n == 1 {
				return false, fmt.Errorf("%s: has no header", l.path)
			}
			if torn = len(text) > 0; torn {
				if err := errors.Join(f.Truncate(end), f.Sync()); err != nil {
					return torn, fmt.Errorf("cannot cut off the unfinished last line: %w", err)
				}
			}
			l.whole = true
			return torn, nil
		}
		if err != nil {
			return false, fmt.Errorf("%s:%d: %w", l.path, n, err)
		}
		end += int64(len(text))
		if n == 1 {
			if err := l.checkHeader(text); err != nil {
				return false, err
			}
			continue
		}
		var x line
		if err := json.Unmarshal(text, &x); err != nil {
			return false, fmt.Errorf("%s:%d: %w", l.path, n, err)
		}
		if x.Device == "" {
			return false, fmt.Errorf("%s:%d: names no device", l.path, n)
		}
		if err := take(x.row()); err != nil {
			return false, fmt.Errorf("%s:%d: %w", l.path, n, err)
		}
		l.appended++ // an upper bound: the snapshot's lines are not told apart
	}
}

func (l *File) checkHeader(text []byte) error {
	var h header
	switch err := json.Unmarshal(text, &h); {
	case err != nil:
		return fmt.Errorf("%s:1: %w", l.path, err)
	case h.Penstock != "devices" || h.Version != 1:
		return fmt.Errorf("%s:1: is not a file of devices of this version", l.path)
	case h.Of != l.of:
		return fmt.Errorf("%s: %w", l.path, ErrOther)
	}
	return nil
}

// readLine returns the next line with its newline, or with io.EOF what
// follows the last one.
func readLine(r *bufio.Reader) ([]byte, error) {
	var long []byte
	for {
		part, err := r.ReadSlice('\n')
		if err == nil && long == nil {
			return part, nil
		}
		long = append(long, part...)
		if len(long) > maxLine {
			return nil, fmt.Errorf("a line is longer than %d bytes", maxLine)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return long, err
		}
	}
}

func (x line) row() row.Row {
	r := row.Row{Device: x.Device, Gone: x.Gone}
	for _, name := range slices.Sorted(maps.Keys(x.Labels)) {
		r.Labels = append(r.Labels, event.Label{Name: name, Value: x.Labels[name]})
	}
	return r
}

// Append adds rows and syncs the file. After an error it is not known what
// the file says, and only Replace mends it.
func (l *File) Append(rows []row.Row) (err error) {
	if !l.whole {
		return fmt.Errorf("%s: must be written anew first", l.path)
	}
	l.whole = false
	var text bytes.Buffer
	for _, r := range rows {
		if err := appendLine(&text, r); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("cannot open the file of devices: %w", err)
	}
	_, err = f.Write(text.Bytes())
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("cannot append to the file of devices: %w", err)
	}
	l.appended += len(rows)
	l.whole = true
	return nil
}

// Usable reports whether Append can be called: the file is there and sound.
func (l *File) Usable() bool { return l.whole }

// Replace writes the file anew. A crash leaves the old file or the new one.
func (l *File) Replace(rows iter.Seq[row.Row]) error {
	if err := os.MkdirAll(filepath.Dir(l.path), 0o700); err != nil {
		return fmt.Errorf("cannot make the directory of devices: %w", err)
	}
	err := durable.Replace(l.path, ".new", 0o600, func(w io.Writer) error { return l.write(w, rows) })
	if err != nil {
		return fmt.Errorf("cannot write the file of devices: %w", err)
	}
	l.appended, l.whole = 0, true
	return nil
}

func (l *File) write(w io.Writer, rows iter.Seq[row.Row]) error {
	text, err := json.Marshal(header{"devices", 1, l.of})
	if err != nil {
		return err
	}
	buf := bytes.NewBuffer(append(text, '\n'))
	for r := range rows {
		if _, err := buf.WriteTo(w); err != nil {
			return err
		}
		if err := appendLine(buf, r); err != nil {
			return err
		}
	}
	_, err = buf.WriteTo(w)
	return err
}

func appendLine(dst *bytes.Buffer, r row.Row) error {
	x := line{Device: r.Device, Gone: r.Gone}
	if len(r.Labels) > 0 {
		x.Labels = make(map[string]string, len(r.Labels))
		for _, label := range r.Labels {
			x.Labels[label.Name] = label.Value
		}
	}
	text, err := json.Marshal(x)
	if err != nil {
		return err
	}
	dst.Write(text)
	dst.WriteByte('\n')
	return nil
}

// Missing reports whether err says that there is no file.
func Missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
