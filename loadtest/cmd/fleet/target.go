package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/penstock-io/penstock/loadtest/sim"
)

// target is where simulate and replay send to, and how they tell of it.
type target struct {
	URL         string        `default:"http://127.0.0.1:8080" help:"The server. Without a path, /v1/telemetry."`
	Connections int           `default:"16" help:"Connections that all devices share."`
	Header      []string      `sep:"none" placeholder:"LINE" help:"A further header line; may be given several times."`
	Progress    time.Duration `default:"5s" help:"Time between progress lines; 0 is none."`
	Quiet       bool          `short:"q" help:"No progress lines."`
}

func (t *target) client() (*sim.Client, error) {
	u, err := url.Parse(t.URL)
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("--url: must be http(s)://HOST:PORT, got %q", t.URL)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/telemetry"
	}
	if t.Connections < 1 {
		return nil, fmt.Errorf("--connections: must be at least 1, got %d", t.Connections)
	}
	header := http.Header{}
	for _, line := range t.Header {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("--header: not a header line: %q", line)
		}
		header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return &sim.Client{URL: u.String(), HTTP: sim.NewHTTP(t.Connections), Header: header, Stats: &sim.Stats{}}, nil
}

// watch runs work, with a progress line now and then and a summary at the
// end.
func (t *target) watch(client *sim.Client, work func() error) error {
	done, gone := make(chan struct{}), make(chan struct{})
	start := time.Now()
	go func() {
		defer close(gone)
		if t.Quiet || t.Progress <= 0 {
			return
		}
		ticker := time.NewTicker(t.Progress)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				fmt.Fprintf(os.Stderr, "%6.0fs %s\n", time.Since(start).Seconds(), client.Stats.Counts())
			}
		}
	}()
	err := work()
	close(done)
	<-gone
	fmt.Printf("after %.1f s:\n%s", time.Since(start).Seconds(), client.Stats.Counts().Summary())
	return err
}

// bounded adds a duration to ctx; 0 is none.
func bounded(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}
