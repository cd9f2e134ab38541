package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/penstock-io/penstock/internal/durable"
)

// tidyEvery is how often tidyLoop looks at what nobody tells it of: the age
// of the file, and rotated files whose compression failed.
const tidyEvery = time.Minute

// tidyLoop compresses rotated files and removes the oldest, until ctx is done. It
// is a goroutine of its own, so writes do not wait for it.
func (w *Writer) tidyLoop(ctx context.Context) {
	every := tidyEvery
	if w.cfg.RotateAge > 0 {
		every = min(every, w.cfg.RotateAge)
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		// As long as another sink writes the file, the rotated ones are its.
		if w.owns(ctx) {
			if err := w.tidy(ctx); err != nil && ctx.Err() == nil {
				w.m.tidyErrors.Inc()
				w.log.Warn("cannot compress or remove rotated files, will try again", "error", err)
			}
		}
		select {
		case <-w.rotated:
		case <-ticker.C:
			w.rotateIdle(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// owns reports whether the file is open, and so locked.
func (w *Writer) owns(ctx context.Context) bool {
	if w.acquire(ctx) != nil {
		return false
	}
	defer w.release()
	return w.out != nil
}

// rotateIdle rotates a file that is old and that nobody writes to.
func (w *Writer) rotateIdle(ctx context.Context) {
	if w.acquire(ctx) != nil {
		return
	}
	defer w.release()
	if w.out == nil || !w.due() || len(w.lost) > 0 {
		return
	}
	if err := w.ready(); err != nil {
		w.log.Warn("cannot rotate, will try again", "error", err)
	}
}

// tidy compresses what is not compressed yet and removes what is too much.
func (w *Writer) tidy(ctx context.Context) error {
	files, leftovers, err := w.names.rotated()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was written yet
	}
	var errs []error
	errs = append(errs, err)
	for _, path := range leftovers {
		errs = append(errs, os.Remove(path))
	}
	// First those that are too many, which need not be compressed.
	files, err = w.prune(files)
	errs = append(errs, err)
	if w.cfg.Compression != "none" {
		for i := range files {
			if files[i].compressed || ctx.Err() != nil {
				continue
			}
			errs = append(errs, w.compress(ctx, &files[i]))
		}
	}
	_, err = w.prune(files)
	return errors.Join(append(errs, err)...)
}

// prune removes the oldest files until the rest is within the bounds, and
// returns the rest. The file that is written counts as a full one.
func (w *Writer) prune(files []rotatedFile) ([]rotatedFile, error) {
	bytes := w.cfg.RotateBytes
	for _, f := range files {
		bytes += f.size
	}
	for len(files) > 0 && (w.cfg.MaxFiles > 0 && len(files)+1 > w.cfg.MaxFiles || w.cfg.MaxBytes > 0 && bytes > w.cfg.MaxBytes) {
		f := files[0]
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return files, err
		}
		w.m.removedFiles.Inc()
		w.m.removedBytes.AddInt64(f.size)
		w.log.Warn("the oldest file was removed (max_files, max_bytes)", "file", f.path, "bytes", f.size)
		bytes -= f.size
		files = files[1:]
	}
	return files, nil
}

// compress replaces a rotated file by its compressed form, which is on disk
// before the file goes.
func (w *Writer) compress(ctx context.Context, f *rotatedFile) (err error) {
	to := f.path + map[string]string{"gzip": ".gz", "zstd": ".zst"}[w.cfg.Compression]
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot compress %s: %w", f.path, err)
		}
	}()
	src, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer src.Close()
	// What is left of a compression that a crash cut short, tidy removes.
	err = durable.Replace(to, ".tmp", 0o640, func(dst io.Writer) error {
		enc, err := w.encoder(dst)
		if err != nil {
			return err
		}
		_, err = io.Copy(enc, &untilDone{ctx, src})
		return errors.Join(err, enc.Close())
	})
	if err != nil {
		return err
	}
	info, err := os.Stat(to)
	if err != nil {
		return err
	}
	if err := os.Remove(f.path); err != nil {
		return err
	}
	f.path, f.size, f.compressed = to, info.Size(), true
	return nil
}

func (w *Writer) encoder(dst io.Writer) (io.WriteCloser, error) {
	if w.cfg.Compression == "gzip" {
		return gzip.NewWriter(dst), nil
	}
	// One goroutine: the cores belong to the events.
	return zstd.NewWriter(dst, zstd.WithEncoderConcurrency(1))
}

// untilDone ends reading when ctx is done.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (u *untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
