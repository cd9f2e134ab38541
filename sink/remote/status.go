package remote

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/penstock-io/penstock/internal/httpclient"
	"github.com/penstock-io/penstock/sink"
)

// How much of an answer is read and kept, in bytes.
const (
	maxAnswer = 64 << 10
	maxDetail = 500
)

// verdict returns what an answer means: nil, or an error with the store's own
// words. It reads the body to its end, so that the connection can be used
// again, unless the body is very long.
func (c *Client) verdict(target *url.URL, resp *http.Response) error {
	// An answer that is cut off does not change what its status says.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode/100 == 2 {
		return nil
	}
	detail := oneLine(body)
	err := fmt.Errorf("%s answers %d %s", httpclient.Place(target), resp.StatusCode, http.StatusText(resp.StatusCode))
	if detail != "" {
		err = fmt.Errorf("%w: %s", err, detail)
	}
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		if detail == "" {
			detail = http.StatusText(resp.StatusCode)
		}
		if strings.Contains(detail, "unsupported path requested") {
			// VictoriaMetrics' way to say 404.
			return checkPath(err)
		}
		return &sink.Refused{Status: resp.StatusCode, Detail: detail}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return &sink.Busy{After: retryAfter(resp.Header, time.Now()), Err: err}
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		// A proxy says that the store is not there.
		c.restarts.saw()
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		if to, parseErr := target.Parse(resp.Header.Get("Location")); parseErr == nil {
			err = fmt.Errorf("%w: redirects are not followed; the url may have to be that of %s", err, httpclient.Place(to))
		}
	case http.StatusUnauthorized, http.StatusForbidden:
		err = fmt.Errorf("%w: check the credentials of this sink", err)
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		err = checkPath(err)
	}
	return err
}

func checkPath(err error) error {
	return fmt.Errorf("%w: check the url of this sink and whether the store takes writes there", err)
}

// oneLine makes one line of an answer's body.
func oneLine(body []byte) string {
	text := strings.ToValidUTF8(string(body), "�")
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if len(text) > maxDetail {
		text = strings.ToValidUTF8(text[:maxDetail], "") + "…"
	}
	return text
}

// retryAfter returns how long the store asks to be left alone: a number of
// seconds or a date (RFC 9110, 10.2.3). 0 means that it does not say.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	// By the store's clock, if it tells.
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return max(at.Sub(now), 0)
}
