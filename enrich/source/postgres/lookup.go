package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/penstock-io/penstock/enrich/row"
	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/settings"
)

// LookupConfig says how single devices are looked up.
type LookupConfig struct {
	Connection

	// Query gives one row, or none, for the device $1.
	Query string `yaml:"query" help:"SELECT that gives the row of the device $1, or none: SELECT site, model FROM devices WHERE device = $1."`
}

// DefaultLookupConfig returns the settings that need nothing but a DSN and a
// query.
func DefaultLookupConfig() LookupConfig { return settings.Default[LookupConfig]() }

// Check notes what no tag says. It does not read DSNFile and does not connect.
func (c LookupConfig) Check(f *settings.Faults) {
	switch {
	case strings.TrimSpace(c.Query) == "":
		f.Add("query", "must be set")
	case !strings.Contains(c.Query, "$1"):
		f.Add("query", "must use $1, which is the device")
	}
}

// Lookup asks for single devices. It is safe for concurrent use, and keeps a
// connection for each call that ran at the same time as others.
type Lookup struct {
	query, device string
	conn          resolved
	idle          chan *session
}

// NewLookup returns a Lookup that keeps up to connections open. It does not
// connect. A column named device is not a label.
func NewLookup(cfg LookupConfig, device string, connections int, log *slog.Logger) (*Lookup, error) {
	conn, err := cfg.Connection.open(log)
	if err != nil {
		return nil, err
	}
	return &Lookup{query: trimQuery(cfg.Query), device: device, conn: conn, idle: make(chan *session, connections)}, nil
}

// errTwice ends a query that has more to say than wanted.
var errTwice = errors.New("the query gives more than one row for a device")

// Find returns the labels of a device, and whether it is there.
func (l *Lookup) Find(ctx context.Context, device string) (labels []event.Label, found bool, err error) {
	var s *session
	kept := true
	select {
	case s = <-l.idle:
	default:
		kept = false
		if s, err = l.conn.connect(ctx); err != nil {
			return nil, false, err
		}
	}
	labels, found, err = l.ask(ctx, s, device)
	if err != nil && kept && s.conn.IsClosed() && ctx.Err() == nil {
		// The connection may have died long ago, which says nothing about
		// the server now.
		if s, err = l.conn.connect(ctx); err != nil {
			return nil, false, err
		}
		labels, found, err = l.ask(ctx, s, device)
	}
	if s.conn.IsClosed() {
		return labels, found, err
	}
	select {
	case l.idle <- s:
	default:
		s.close()
	}
	return labels, found, err
}

func (l *Lookup) ask(ctx context.Context, s *session, device string) (labels []event.Label, found bool, err error) {
	reader := &rowReader{device: l.device, checked: true} // the device's column may be left out
	err = s.query(ctx, reader, l.query, [][]byte{[]byte(device)}, func(r row.Row, _ string) error {
		switch {
		case found:
			return errTwice
		case r.Fault != "":
			return fmt.Errorf("device %q: %s", device, r.Fault)
		}
		found = true
		labels = append(labels, r.Labels...)
		return nil
	})
	return labels, found, err
}

// Close closes the connections. No Lookup may be running.
func (l *Lookup) Close() {
	for {
		select {
		case s := <-l.idle:
			s.close()
		default:
			return
		}
	}
}
