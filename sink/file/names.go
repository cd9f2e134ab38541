package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/penstock-io/penstock/internal/durable"
)

// names knows what the files are called.
type names struct {
	dir       string
	stem, ext string // of the file: "events", ".ndjson"
}

func namesOf(path string) names {
	base := filepath.Base(path)
	ext := filepath.Ext(base)
	if ext == base {
		ext = "" // a name like ".events"
	}
	return names{dir: filepath.Dir(path), stem: strings.TrimSuffix(base, ext), ext: ext}
}

func (n names) path() string { return filepath.Join(n.dir, n.stem+n.ext) }

func (n names) note() string { return filepath.Join(n.dir, "."+n.stem+n.ext+".synced") }

// stamp is the time in a rotated file's name: in UTC, and sorted by time when
// it is sorted by name.
const stamp = "20060102T150405.000Z"

// rotate renames the file and returns its new path. The name is durable.
func (n names) rotate(now time.Time) (string, error) {
	for ; ; now = now.Add(time.Millisecond) {
		to := filepath.Join(n.dir, n.stem+"-"+now.UTC().Format(stamp)+n.ext)
		if taken(to) || taken(to+".gz") || taken(to+".zst") {
			continue
		}
		if err := os.Rename(n.path(), to); err != nil {
			return "", err
		}
		return to, durable.SyncDir(n.dir)
	}
}

func taken(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// rotatedFile is a file that is not written any more.
type rotatedFile struct {
	path       string
	size       int64
	compressed bool
}

// rotated lists the rotated files, the oldest first, and what is left of a
// compression that was cut short.
func (n names) rotated() (files []rotatedFile, leftovers []string, err error) {
	entries, err := os.ReadDir(n.dir)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), n.stem+"-")
		if !ok || len(rest) < len(stamp) || !e.Type().IsRegular() {
			continue
		}
		if _, err := time.Parse(stamp, rest[:len(stamp)]); err != nil {
			continue
		}
		path := filepath.Join(n.dir, e.Name())
		switch rest[len(stamp):] {
		case n.ext, n.ext + ".gz", n.ext + ".zst":
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, nil, err
			}
			files = append(files, rotatedFile{path, info.Size(), rest[len(stamp):] != n.ext})
		case n.ext + ".gz.tmp", n.ext + ".zst.tmp":
			leftovers = append(leftovers, path)
		}
	}
	slices.SortFunc(files, func(a, b rotatedFile) int { return strings.Compare(a.path, b.path) })
	return files, leftovers, nil
}
