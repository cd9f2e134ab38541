package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
)

// maxObject bounds the answer to a lookup, in bytes.
const maxObject = 64 << 10

// Lookup asks for single devices. It is safe for concurrent use.
type Lookup struct {
	path, query string // of the URL, with the placeholder in it
	client      *client
}

// NewLookup returns a Lookup with up to so many connections. It does not
// connect.
func NewLookup(cfg LookupConfig, connections int, log *slog.Logger) (*Lookup, error) {
	client, err := newClient(cfg.Config, connections, log)
	if err != nil {
		return nil, err
	}
	path, query, ok := strings.Cut(cfg.URL, "?")
	if ok {
		query = "?" + query
	}
	return &Lookup{path: path, query: query, client: client}, nil
}

// urlOf puts a device's name into the URL.
func (l *Lookup) urlOf(device string) (string, error) {
	if device == "." || device == ".." {
		return "", fmt.Errorf("the device %q cannot stand in a path", device)
	}
	return strings.ReplaceAll(l.path, placeholder, url.PathEscape(device)) +
		strings.ReplaceAll(l.query, placeholder, url.QueryEscape(device)), nil
}

// Lookup returns the document of a device, or ErrNotFound.
func (l *Lookup) Lookup(ctx context.Context, device string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, l.client.timeout)
	defer cancel()
	address, err := l.urlOf(device)
	if err != nil {
		return nil, err
	}
	resp, err := l.client.get(ctx, address, http.Header{"Accept": {"application/json"}})
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusGone, http.StatusNoContent:
		_, _ = io.CopyN(io.Discard, resp.Body, maxExcerpt) // so that the connection is kept
		_ = resp.Body.Close()
		return nil, ErrNotFound
	default:
		return nil, refusal(resp)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxObject+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read the answer: %w", err)
	case len(text) > maxObject:
		return nil, errors.New("the answer is too large for the labels of a device")
	}
	return text, nil
}

// Close closes idle connections.
func (l *Lookup) Close() { l.client.http.CloseIdleConnections() }
