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

	"github.com/penstock-io/penstock/enrich/row"
	"github.com/penstock-io/penstock/ingest/event"
)

// maxObject bounds the answer to a lookup, in bytes.
const maxObject = 64 << 10

// Lookup asks for single devices. It is safe for concurrent use.
type Lookup struct {
	path, query string // of the URL, with the placeholder in it
	member      string // that is not a label: the device's name
	client      *client
}

// NewLookup returns a Lookup with up to so many connections. It does not
// connect. A member of that name is not a label.
func NewLookup(cfg LookupConfig, member string, connections int, log *slog.Logger) (*Lookup, error) {
	client, err := newClient(cfg.Config, connections, log)
	if err != nil {
		return nil, err
	}
	path, query, ok := strings.Cut(cfg.URL, "?")
	if ok {
		query = "?" + query
	}
	return &Lookup{path: path, query: query, member: member, client: client}, nil
}

// urlOf puts a device's name into the URL.
func (l *Lookup) urlOf(device string) (string, error) {
	if device == "." || device == ".." {
		return "", fmt.Errorf("the device %q cannot stand in a path", device)
	}
	return strings.ReplaceAll(l.path, placeholder, url.PathEscape(device)) +
		strings.ReplaceAll(l.query, placeholder, url.QueryEscape(device)), nil
}

// Find returns the labels of a device, and whether it is there. The labels
// have not been checked.
func (l *Lookup) Find(ctx context.Context, device string) (labels []event.Label, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.client.timeout)
	defer cancel()
	address, err := l.urlOf(device)
	if err != nil {
		return nil, false, err
	}
	resp, err := l.client.get(ctx, address, http.Header{"Accept": {"application/json"}})
	if err != nil {
		return nil, false, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusGone, http.StatusNoContent:
		_, _ = io.CopyN(io.Discard, resp.Body, maxExcerpt) // so that the connection is kept
		_ = resp.Body.Close()
		return nil, false, nil
	default:
		return nil, false, refusal(resp)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxObject+1))
	switch {
	case err != nil:
		return nil, false, fmt.Errorf("cannot read the answer: %w", err)
	case len(text) > maxObject:
		return nil, false, errors.New("the answer is too large for the labels of a device")
	}
	if labels, err = row.ParseLabels(text, l.member); err != nil {
		return nil, false, fmt.Errorf("device %.64q: %w", device, err)
	}
	return labels, true, nil
}

// Close closes idle connections.
func (l *Lookup) Close() { l.client.http.CloseIdleConnections() }
