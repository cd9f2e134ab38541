package servertls

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/sys/unix"

	"github.com/penstock-io/penstock/internal/tlstest"
)

// BenchmarkHandshake is the server's and the client's CPU for a connection.
func BenchmarkHandshake(b *testing.B) {
	for _, kind := range []string{"ecdsa", "rsa"} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for _, resumed := range []bool{false, true} {
				b.Run(fmt.Sprintf("key=%s/version=%x/resumed=%v", kind, version, resumed), func(b *testing.B) {
					benchHandshake(b, kind == "rsa", version, resumed)
				})
			}
		}
	}
}

func benchHandshake(b *testing.B, isRSA bool, version uint16, resumed bool) {
	ca := tlstest.NewAuthority(b, "authority", 1)
	cert, key := tlstest.WritePair(b, b.TempDir(), "server", ca.Issue(b, tlstest.Want{Server: true, RSA: isRSA}))
	s, err := New(Config{CertFile: cert, KeyFile: key, MinVersion: "1.2"}, "bench", nil, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		b.Fatal(err)
	}
	client := &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", MaxVersion: version,
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256}}
	if resumed {
		client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		connect(b, s, client)
	}
	var server time.Duration
	for b.Loop() {
		state, took := connect(b, s, client)
		if state.DidResume != resumed {
			b.Fatalf("resumed: %v", state.DidResume)
		}
		server += took
	}
	b.ReportMetric(float64(server.Nanoseconds())/float64(b.N), "server-cpu-ns/op")
}

// connect makes a connection over memory and returns the CPU time that the
// server has taken for it, whatever else runs on the machine.
func connect(b *testing.B, s *Server, client *tls.Config) (tls.ConnectionState, time.Duration) {
	b.Helper()
	ours, theirs := net.Pipe()
	done := make(chan error, 1)
	var took time.Duration
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		began := threadTime()
		c := tls.Server(ours, s.TLS())
		err := c.Handshake()
		if err == nil {
			_, err = c.Write([]byte{'!'})
		}
		took = threadTime() - began
		done <- err
	}()
	c := tls.Client(theirs, client)
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	state := c.ConnectionState()
	_, _ = theirs.Close(), ours.Close()
	return state, took
}

// threadTime returns the CPU time of this thread.
func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}
