package remote

import (
	"bytes"
	"sync"
)

// lent is a request's body that its owner wants back: net/http may read it
// after the answer is there, until it closes it.
type lent struct {
	bytes.Reader
	once   sync.Once
	closed chan struct{}
}

func newLent(body []byte) *lent {
	l := &lent{closed: make(chan struct{})}
	l.Reset(body)
	return l
}

func (l *lent) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}
