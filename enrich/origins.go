package enrich

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/penstock-io/penstock/enrich/source/http"
	"github.com/penstock-io/penstock/enrich/source/postgres"
)

// postgresOrigin is a table of devices in PostgreSQL.
type postgresOrigin struct {
	src *postgres.Source
	cfg postgres.Config
}

func newPostgresOrigin(s Source, log *slog.Logger) (*postgresOrigin, error) {
	src, err := postgres.New(s.Postgres, s.deviceColumn(), log)
	return &postgresOrigin{src, s.Postgres}, err
}

func (o *postgresOrigin) place() string    { return o.src.Place() }
func (o *postgresOrigin) identity() string { return o.src.Place() + "\x00" + o.cfg.Query }

func (o *postgresOrigin) open(ctx context.Context) (stream, error) {
	s, err := o.src.Open(ctx)
	if err != nil {
		return nil, err
	}
	return postgresStream{s}, nil
}

type postgresStream struct{ s *postgres.Session }

func (p postgresStream) fetch(ctx context.Context, emit func(row) error) error {
	return p.s.Fetch(ctx, func(r postgres.Row) error { return emit(fromPostgres(r)) })
}

func (p postgresStream) fetched() {}

func (p postgresStream) follow(ctx context.Context, take func([]change) error) error {
	var list []change
	return p.s.Follow(ctx, func(rows []postgres.Row) error {
		list = list[:0]
		for _, r := range rows {
			list = append(list, change{fromPostgres(r), r.Gone && r.Fault == ""})
		}
		return take(list)
	})
}

func (p postgresStream) close() { p.s.Close() }

func fromPostgres(r postgres.Row) row {
	return row{device: r.Device, labels: r.Labels, fault: r.Fault}
}

// httpOrigin is a document behind a URL. It has no connection of its own, so
// it is its own stream.
type httpOrigin struct {
	src    *http.Source
	url    string
	format string
	column string
}

func newHTTPOrigin(s Source, log *slog.Logger) (*httpOrigin, error) {
	src, err := http.New(s.HTTP, log)
	return &httpOrigin{src, s.HTTP.URL, s.Format, s.deviceColumn()}, err
}

func (o *httpOrigin) place() string                        { return o.src.Place() }
func (o *httpOrigin) identity() string                     { return o.url }
func (o *httpOrigin) open(context.Context) (stream, error) { return o, nil }
func (o *httpOrigin) close()                               { o.src.Close() }
func (o *httpOrigin) fetched()                             { o.src.Confirm() }

func (o *httpOrigin) fetch(ctx context.Context, emit func(row) error) error {
	ctx, cancel := context.WithTimeout(ctx, o.src.Timeout())
	defer cancel()
	doc, err := o.src.Get(ctx)
	if errors.Is(err, http.ErrNotModified) {
		return errUnchanged
	}
	if err != nil {
		return err
	}
	defer doc.Body.Close()
	format := o.format
	if format == "" {
		format = doc.Format
	}
	in, err := newInput(ctx, doc.Body, o.src.MaxBytes())
	if err != nil {
		return fmt.Errorf("GET %s: %w", o.place(), err)
	}
	in.bound = "max_bytes"
	switch format {
	case formatCSV:
		err = parseCSV(in, o.column, emit)
	case formatJSON:
		err = parseJSON(in, o.column, emit)
	case formatNDJSON:
		err = parseNDJSON(in, o.column, emit)
	default:
		return fmt.Errorf("GET %s: neither the Content-Type nor the path says whether it is CSV, JSON or NDJSON; set format", o.place())
	}
	switch {
	case err == nil, errors.Is(err, errTooMany):
		return err
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("GET %s: the answer took longer than timeout: %w", o.place(), ctx.Err())
	case in.err != nil:
		return fmt.Errorf("GET %s: cannot read the answer: %w", o.place(), in.err)
	default:
		return fmt.Errorf("GET %s: %w", o.place(), err)
	}
}

func (o *httpOrigin) follow(ctx context.Context, _ func([]change) error) error {
	select {
	case <-time.After(o.src.PollInterval()):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
