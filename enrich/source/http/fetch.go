package http

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/penstock-io/penstock/enrich/row"
	"github.com/penstock-io/penstock/internal/httpclient"
)

// maxExcerpt is how much of an error's body is told, in bytes.
const maxExcerpt = 200

// Source is a document behind a URL. It is used by one goroutine at a time.
type Source struct {
	cfg            Config
	format, column string
	place          string
	client         *client

	// Of the document that was confirmed.
	etag, modified string
	// Of the one that was fetched last.
	nextETag, nextModified string
}

// New returns the source of a document of that format; empty means that the
// answer says it. The device's name is in that column, or member. It reads the
// files and variables that cfg names, and does not connect.
func New(cfg Config, format, column string, log *slog.Logger) (*Source, error) {
	client, err := newClient(cfg.Config, 1, log)
	if err != nil {
		return nil, err
	}
	u, err := httpclient.ParseURL(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	return &Source{cfg: cfg, format: format, column: column, place: httpclient.Place(u), client: client}, nil
}

// Place says where the document is, without what may be secret.
func (s *Source) Place() string { return s.place }

// Identity tells these rows from those of other settings.
func (s *Source) Identity() string { return s.cfg.URL }

// Connect does nothing: each request connects for itself.
func (s *Source) Connect(context.Context) error { return nil }

// Close closes the idle connection. The source may be used again.
func (s *Source) Close() { s.client.http.CloseIdleConnections() }

// Fetch calls emit for every row of the document, in order, and returns emit's
// error as it is. row.ErrUnchanged says that the document is the one that was
// last confirmed.
func (s *Source) Fetch(ctx context.Context, emit func(row.Row) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.client.timeout)
	defer cancel()
	header := http.Header{}
	if s.etag != "" {
		header.Set("If-None-Match", s.etag)
	}
	if s.modified != "" {
		header.Set("If-Modified-Since", s.modified)
	}
	resp, err := s.client.get(ctx, s.cfg.URL, header)
	if err != nil {
		return err
	}
	switch {
	case resp.StatusCode == http.StatusNotModified && (s.etag != "" || s.modified != ""):
		_ = resp.Body.Close()
		return row.ErrUnchanged
	case resp.StatusCode != http.StatusOK:
		return refusal(resp)
	}
	defer resp.Body.Close()
	s.nextETag, s.nextModified = resp.Header.Get("ETag"), resp.Header.Get("Last-Modified")
	return s.parse(ctx, resp, emit)
}

// parse reads the document of an answer.
func (s *Source) parse(ctx context.Context, resp *http.Response, emit func(row.Row) error) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("GET %s: %w", s.place, fmt.Errorf(format, args...))
	}
	format := cmp.Or(s.format, formatOf(resp))
	if format == "" {
		return fail("neither the Content-Type nor the path says whether it is CSV, JSON or NDJSON; set format")
	}
	in, err := row.NewInput(ctx, resp.Body, s.cfg.MaxBytes, "max_bytes")
	if err != nil {
		return fail("%w", err)
	}
	var stopped error // by emit
	err = in.Parse(format, s.column, func(r row.Row) error {
		stopped = emit(r)
		return stopped
	})
	switch {
	case err == nil, stopped != nil:
		return err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fail("the answer took longer than timeout: %w", ctx.Err())
	case in.Err() != nil:
		return fail("cannot read the answer: %w", in.Err())
	default:
		return fail("%w", err)
	}
}

// Confirm says that the rows of the last Fetch were understood, so that the
// document need not be sent again.
func (s *Source) Confirm() { s.etag, s.modified = s.nextETag, s.nextModified }

// Follow returns nil when it is time to fetch again: single changes are not
// told over HTTP.
func (s *Source) Follow(ctx context.Context, _ func([]row.Row) error) error {
	select {
	case <-time.After(s.cfg.PollInterval):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *client) get(ctx context.Context, url string, header http.Header) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, errors.New("cannot make a request of the URL")
	}
	r.Header = header
	r.Header.Set("User-Agent", "penstock")
	c.credentials.Apply(r)
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", httpclient.Place(r.URL), httpclient.WithoutURL(err))
	}
	return resp, nil
}

// refusal is the error of an answer that is not the document. It closes the
// body.
func refusal(resp *http.Response) error {
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxExcerpt)) // what came is told
	message := strings.Join(strings.Fields(strings.ToValidUTF8(string(text), "?")), " ")
	if message != "" {
		message = ": " + message
	}
	return fmt.Errorf("GET %s: the server answered %s%s", httpclient.Place(resp.Request.URL), resp.Status, message)
}

// formatOf returns the format that the answer's Content-Type, or the URL's
// path, names, or "".
func formatOf(resp *http.Response) string {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch kind {
	case "text/csv":
		return row.CSV
	case "application/json":
		return row.JSON
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines":
		return row.NDJSON
	}
	return row.FormatOf(resp.Request.URL.Path)
}
