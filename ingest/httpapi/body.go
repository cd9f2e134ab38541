package httpapi

import (
	"errors"
	"io"
	"sync/atomic"

	"github.com/valyala/fasthttp"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/fair"
)

const (
	// firstRead is the most memory that a body is given before any of its
	// bytes have come, whatever its Content-Length says.
	firstRead = 64 << 10

	// drainBytes is how much of an unwanted body is read in order to keep the
	// connection. Past that, closing it is cheaper.
	drainBytes = 256 << 10
)

// Errors of reading a body, apart from those of the connection.
var (
	errTooLarge   = errors.New("larger than the limit")
	errNoMemory   = &event.Refusal{Cause: event.Overload}
	errIncomplete = errors.New("shorter than its Content-Length")
)

// budget is the memory that all requests share.
type budget struct {
	limit int64
	used  atomic.Int64
}

// lease is what one request has of the budget. It has one user at a time.
type lease struct {
	budget *budget
	held   int64

	// Whose account it is on, nil if there are no shares.
	shares  *fair.Shares
	account *fair.Account
}

// grow adds n bytes. If the budget does not have them, or the tenant's share
// of it, it adds nothing and returns a refusal with the cause Overload.
func (l *lease) grow(n int) error {
	used := l.budget.used.Add(int64(n))
	if used > l.budget.limit {
		l.budget.used.Add(int64(-n))
		return errNoMemory
	}
	if l.account != nil {
		if err := l.shares.Grow(l.account, n, l.budget.limit-used); err != nil {
			l.budget.used.Add(int64(-n))
			return err
		}
	}
	l.held += int64(n)
	return nil
}

// force adds n bytes even if they exceed the budget. It is for memory that is
// there already, so that the next request finds less.
func (l *lease) force(n int) {
	l.budget.used.Add(int64(n))
	l.held += int64(n)
	if l.account != nil {
		l.account.Force(int64(n))
	}
}

// release gives everything back.
func (l *lease) release() {
	l.budget.used.Add(-l.held)
	if l.account != nil {
		l.account.Force(-l.held)
		l.account = nil
	}
	l.held = 0
}

// extend returns buf with a capacity of at least n, on the lease's account.
// The content stays.
func (l *lease) extend(buf []byte, n int) ([]byte, error) {
	if n <= cap(buf) {
		return buf, nil
	}
	if err := l.grow(n - cap(buf)); err != nil {
		return buf, err
	}
	bigger := make([]byte, len(buf), n)
	copy(bigger, buf)
	return bigger, nil
}

// readAll appends what r brings to buf, whose capacity the lease has already
// paid for. It never holds more than limit+1 bytes of content, and returns
// errTooLarge when there are more than limit. size is how many will come, or
// -1; it is not believed beyond firstRead before they are there.
func readAll(r io.Reader, buf []byte, size, limit int, l *lease) ([]byte, error) {
	buf, err := l.extend(buf, min(size, firstRead))
	if err != nil {
		return buf, err
	}
	for {
		if len(buf) == cap(buf) {
			if buf, err = l.extend(buf, nextSize(cap(buf), size, limit)); err != nil {
				return buf, err
			}
		}
		n, err := r.Read(buf[len(buf):min(cap(buf), limit+1)])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > limit:
			return buf, errTooLarge
		case err == io.EOF:
			if size >= 0 && len(buf) != size {
				return buf, errIncomplete
			}
			return buf, nil
		case err != nil:
			return buf, err
		}
	}
}

// nextSize returns the capacity that follows a full one: twice as much, but
// no more than is to come, and no step that would leave a small rest.
func nextSize(full, size, limit int) int {
	next := 2*full + 4<<10
	if next > limit-limit/4 {
		next = limit + 1
	}
	if size > full {
		next = min(next, size)
	}
	return next
}

// skipBody reads what is left of a request's body, and throws it away, if it
// is not much. It returns false if the connection must be closed because
// something of the body may be left in it.
func skipBody(ctx *fasthttp.RequestCtx) bool {
	r := ctx.RequestBodyStream()
	if r == nil {
		return true
	}
	size := ctx.Request.Header.ContentLength()
	if size > drainBytes {
		return false
	}
	n, err := io.CopyN(io.Discard, r, drainBytes+1)
	return errors.Is(err, io.EOF) && (size < 0 || n <= int64(size))
}
