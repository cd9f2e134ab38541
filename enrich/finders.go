package enrich

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/penstock-io/penstock/enrich/source/http"
	"github.com/penstock-io/penstock/enrich/source/postgres"
	"github.com/penstock-io/penstock/ingest/event"
)

// postgresFinder finds devices by a query.
type postgresFinder struct{ l *postgres.Lookup }

func newPostgresFinder(cfg LookupConfig, log *slog.Logger) (finder, error) {
	l, err := postgres.NewLookup(cfg.Postgres, cfg.DeviceColumn, cfg.MaxInFlight, log)
	return postgresFinder{l}, err
}

func (f postgresFinder) find(ctx context.Context, device string) ([]event.Label, bool, error) {
	return f.l.Lookup(ctx, device)
}

func (f postgresFinder) close() { f.l.Close() }

// httpFinder finds devices by a URL.
type httpFinder struct {
	l      *http.Lookup
	member string
}

func newHTTPFinder(cfg LookupConfig, log *slog.Logger) (finder, error) {
	l, err := http.NewLookup(cfg.HTTP, cfg.MaxInFlight, log)
	return httpFinder{l, cfg.DeviceColumn}, err
}

func (f httpFinder) find(ctx context.Context, device string) ([]event.Label, bool, error) {
	text, err := f.l.Lookup(ctx, device)
	if errors.Is(err, http.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	labels, err := ParseLabels(text, f.member)
	if err != nil {
		return nil, false, fmt.Errorf("device %.64q: %w", device, err)
	}
	return labels, true, nil
}

func (f httpFinder) close() { f.l.Close() }

// ParseLabels reads a JSON object of labels, or one with an object named
// labels, as it may stand in a file. A member named deviceMember, if that is
// not empty, is not a label. The labels have not been checked.
func ParseLabels(text []byte, deviceMember string) ([]event.Label, error) {
	if deviceMember == "" {
		deviceMember = "\xff" // the decoder returns valid UTF-8 only
	}
	p := newJSONParser(bytes.NewReader(text), deviceMember)
	p.optionalDevice = true
	r, err := p.oneObject()
	if err != nil {
		return nil, err
	}
	if r.fault != "" {
		return nil, errors.New(r.fault)
	}
	return r.labels, nil
}
