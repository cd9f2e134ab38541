package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/penstock-io/penstock/internal/httpclient"
)

// ErrNotModified says that the document is the one that was fetched before.
var ErrNotModified = errors.New("not modified")

// ErrNotFound says that a device is not known.
var ErrNotFound = errors.New("not found")

// maxExcerpt is how much of an error's body is told, in bytes.
const maxExcerpt = 200

// Source is a document behind a URL. It is used by one goroutine at a time.
type Source struct {
	cfg    Config
	place  string
	client *client

	// Of the document that was confirmed.
	etag, modified string
	// Of the one that was fetched last.
	nextETag, nextModified string
}

// New reads the files and variables that cfg names. It does not connect.
func New(cfg Config, log *slog.Logger) (*Source, error) {
	client, err := newClient(cfg.Config, 1, log)
	if err != nil {
		return nil, err
	}
	u, err := httpclient.ParseURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	return &Source{cfg: cfg, place: httpclient.Place(u), client: client}, nil
}

// Place says where the document is, without what may be secret.
func (s *Source) Place() string { return s.place }

// PollInterval is the time between two requests.
func (s *Source) PollInterval() time.Duration { return s.cfg.PollInterval }

// MaxBytes is the size beyond which a document is refused, for the reader of
// its body to hold to.
func (s *Source) MaxBytes() int64 { return s.cfg.MaxBytes }

// Document is an answer that is being read.
type Document struct {
	// Body is decompressed. Its errors do not name the URL.
	Body io.ReadCloser
	// Format is csv, json or ndjson where the answer's Content-Type, or the
	// URL's path, says it; otherwise it is empty.
	Format string
}

// Get requests the document; ErrNotModified says that it is the one that was
// last confirmed. Cancelling ctx ends the reading of the body, which must be
// closed.
func (s *Source) Get(ctx context.Context) (*Document, error) {
	header := http.Header{}
	if s.etag != "" {
		header.Set("If-None-Match", s.etag)
	}
	if s.modified != "" {
		header.Set("If-Modified-Since", s.modified)
	}
	resp, err := s.client.get(ctx, s.cfg.URL, header)
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode == http.StatusNotModified && (s.etag != "" || s.modified != ""):
		_ = resp.Body.Close()
		return nil, ErrNotModified
	case resp.StatusCode != http.StatusOK:
		return nil, refusal(resp)
	}
	s.nextETag, s.nextModified = resp.Header.Get("ETag"), resp.Header.Get("Last-Modified")
	return &Document{Body: resp.Body, Format: format(resp)}, nil
}

// Confirm says that the document that Get returned last has been read and
// understood, so that it need not be sent again.
func (s *Source) Confirm() { s.etag, s.modified = s.nextETag, s.nextModified }

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

func format(resp *http.Response) string {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch kind {
	case "text/csv":
		return "csv"
	case "application/json":
		return "json"
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines":
		return "ndjson"
	}
	switch path := strings.ToLower(resp.Request.URL.Path); {
	case strings.HasSuffix(path, ".csv"):
		return "csv"
	case strings.HasSuffix(path, ".json"):
		return "json"
	case strings.HasSuffix(path, ".ndjson"), strings.HasSuffix(path, ".jsonl"):
		return "ndjson"
	}
	return ""
}

// Timeout bounds a request and its answer.
func (s *Source) Timeout() time.Duration { return s.client.timeout }

// Close closes the idle connection. The source may be used again.
func (s *Source) Close() { s.client.http.CloseIdleConnections() }
