package remote

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// How the end of a store is noticed whose machine has gone, with nobody left
// to break a connection. Together they take less than ten seconds, which is
// within any sensible hold: an idle connection is probed by TCP itself, and
// one with a request that gets no answer by trying to connect once more.
const (
	keepAliveIdle     = 3 * time.Second
	keepAliveInterval = 2 * time.Second
	keepAliveCount    = 3
	probeAfter        = 4 * time.Second
	probeTimeout      = 4 * time.Second
)

// restartDetector sees whether the store may have restarted: whether the other end
// ended a connection that it had not announced the end of, or could not be
// connected to. It is wrong on the safe side: a proxy that drops idle
// connections looks the same, and costs a redelivery.
//
// It cannot see through a proxy or load balancer that hides the restart of
// what is behind it, unless that answers 502 or 504 meanwhile.
type restartDetector struct {
	dialer net.Dialer
	lost   chan struct{} // has room for one
	// generation counts what was seen, so that a request can tell whether
	// something was while it was on its way.
	generation atomic.Uint64
	away       atomic.Bool // the last dial failed

	address atomic.Pointer[string] // that was dialed last

	probes sync.WaitGroup
	conns  sync.WaitGroup // open connections
}

func newRestartDetector() *restartDetector {
	w := &restartDetector{lost: make(chan struct{}, 1)}
	w.dialer = net.Dialer{
		Timeout: 10 * time.Second,
		KeepAliveConfig: net.KeepAliveConfig{
			Enable:   true,
			Idle:     keepAliveIdle,
			Interval: keepAliveInterval,
			Count:    keepAliveCount,
		},
	}
	return w
}

// saw notes that the store may have restarted.
func (w *restartDetector) saw() {
	w.generation.Add(1)
	select {
	case w.lost <- struct{}{}:
	default:
	}
}

// dial connects, and watches the connection.
func (w *restartDetector) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.address.Store(&address)
	c, err := w.dialer.DialContext(ctx, network, address)
	if err != nil {
		// While it stays away there is nothing new to tell.
		if !errors.Is(ctx.Err(), context.Canceled) && !w.away.Swap(true) {
			w.saw()
		}
		return nil, err
	}
	w.away.Store(false)
	w.conns.Add(1)
	return &conn{Conn: c, restarts: w}, nil
}

// watch probes the store every few seconds until the request that it watches
// over has its answer, which is when stop is called.
func (w *restartDetector) watch() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	w.probes.Go(func() {
		every := time.NewTicker(probeAfter)
		defer every.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-every.C:
				w.probe(ctx)
			}
		}
	})
	return cancel
}

// probe connects and hangs up.
func (w *restartDetector) probe(ctx context.Context) {
	address := w.address.Load()
	if address == nil {
		return
	}
	bound, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	c, err := w.dialer.DialContext(bound, "tcp", *address)
	if err == nil {
		_ = c.Close() // that it was taken is all there is to know
	} else if !errors.Is(ctx.Err(), context.Canceled) && !w.away.Swap(true) {
		w.saw()
	}
}

// close waits for the probes and for the connections, which the transport
// closes.
func (w *restartDetector) close() {
	w.probes.Wait()
	w.conns.Wait()
}

// conn is a watched connection.
type conn struct {
	net.Conn
	restarts  *restartDetector
	announced atomic.Bool // the other end has said that it will close
	ended     atomic.Bool // closed by us, or already seen to have ended
	closed    atomic.Bool
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.see(err)
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.see(err)
	return n, err
}

// see tells the detector of an end that did not come from here.
func (c *conn) see(err error) {
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
		return
	}
	if !c.announced.Load() && !c.ended.Swap(true) {
		c.restarts.saw()
	}
}

func (c *conn) Close() error {
	c.ended.Store(true)
	err := c.Conn.Close()
	if !c.closed.Swap(true) {
		c.restarts.conns.Done()
	}
	return err
}
