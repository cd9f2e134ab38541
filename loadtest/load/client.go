package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// client is one keep-alive connection that POSTs to one address. It speaks
// just as much HTTP/1.1 as that needs: the generator shares its cores with
// the server, and net/http would cost several times as much as rendering the
// body. It belongs to one goroutine.
type client struct {
	addr    string
	timeout time.Duration // of a whole request
	conn    net.Conn
	reader  *bufio.Reader
	head    []byte // the request up to the value of Content-Length
	out     []byte
	body    []byte
	// The connection's deadline is moved only when it is a tenth of timeout
	// late, because moving it costs a timer.
	deadline time.Time
}

// response is what the generator needs to know of an answer.
type response struct {
	status     int
	accepted   int // of Penstock-Accepted; -1 where it is absent
	retryAfter time.Duration
	body       []byte // lent until the next request
	bytes      int    // received, head included
}

// errNotSent is wrapped by errors after which the server cannot have seen
// anything of the request.
var errNotSent = errors.New("nothing was sent")

// maxResponseBody bounds an answer: 100 listed errors take about 20 KiB.
const maxResponseBody = 4 << 20

// newClient prepares a connection; the first post opens it. header has
// complete lines without their ends.
func newClient(target *url.URL, contentType, contentEncoding string, header []string, timeout time.Duration) *client {
	var head bytes.Buffer
	fmt.Fprintf(&head, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: penstock-fleet\r\nContent-Type: %s\r\n",
		target.RequestURI(), target.Host, contentType)
	if contentEncoding != "" {
		fmt.Fprintf(&head, "Content-Encoding: %s\r\n", contentEncoding)
	}
	for _, line := range header {
		fmt.Fprintf(&head, "%s\r\n", line)
	}
	head.WriteString("Content-Length: ")
	port := target.Port()
	if port == "" {
		port = "80"
	}
	return &client{
		addr:    net.JoinHostPort(target.Hostname(), port),
		timeout: timeout,
		reader:  bufio.NewReaderSize(nil, 4<<10),
		head:    head.Bytes(),
	}
}

// post sends one body, which it borrows, and waits for the answer. After an
// error the connection is closed, and the next post opens another.
func (c *client) post(body []byte) (response, error) {
	now := time.Now()
	if c.conn == nil {
		conn, err := net.DialTimeout("tcp", c.addr, c.timeout)
		if err != nil {
			return response{}, fmt.Errorf("%w: %w", errNotSent, err)
		}
		c.conn, c.deadline = conn, time.Time{}
		c.reader.Reset(conn)
	}
	if until := now.Add(c.timeout); until.Sub(c.deadline) > c.timeout/10 {
		if err := c.conn.SetDeadline(until); err != nil {
			c.close()
			return response{}, fmt.Errorf("%w: cannot set the deadline: %w", errNotSent, err)
		}
		c.deadline = until
	}
	// One write for head and body: the copy is cheaper than a second call.
	c.out = append(c.out[:0], c.head...)
	c.out = strconv.AppendInt(c.out, int64(len(body)), 10)
	c.out = append(c.out, "\r\n\r\n"...)
	c.out = append(c.out, body...)
	_, writeErr := c.conn.Write(c.out)
	// A server may answer and close before it has read everything, so there
	// may be an answer even where the write failed.
	r, keep, err := c.read()
	if err != nil || writeErr != nil || !keep {
		c.close()
	}
	if err != nil {
		if writeErr != nil {
			err = writeErr
		}
		return response{}, fmt.Errorf("no answer: %w", err)
	}
	return r, nil
}

func (c *client) close() {
	if c.conn != nil {
		// What the close of a broken connection says helps nobody.
		_ = c.conn.Close()
		c.conn = nil
	}
}

// read reads one answer, past any interim ones, and tells whether the
// connection may be used again.
func (c *client) read() (r response, keep bool, err error) {
	for bytes := 0; ; bytes = r.bytes {
		r, keep, err = c.readOne()
		r.bytes += bytes
		if err != nil || r.status >= 200 {
			return r, keep, err
		}
	}
}

func (c *client) readOne() (r response, keep bool, err error) {
	r.accepted = -1
	line, err := c.line(&r)
	if err != nil {
		return r, false, err
	}
	if len(line) < 12 || string(line[:7]) != "HTTP/1." {
		return r, false, fmt.Errorf("not an HTTP status line: %.40q", line)
	}
	keep = line[7] == '1'
	if r.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return r, false, fmt.Errorf("not an HTTP status line: %.40q", line)
	}
	length, chunked := -1, false
	for {
		line, err := c.line(&r)
		if err != nil {
			return r, false, err
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 {
				return r, false, fmt.Errorf("content length %.40q", value)
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		case bytes.EqualFold(name, []byte("Connection")):
			keep = !bytes.EqualFold(value, []byte("close"))
		case bytes.EqualFold(name, []byte("Penstock-Accepted")):
			if r.accepted, err = strconv.Atoi(string(value)); err != nil || r.accepted < 0 {
				return r, false, fmt.Errorf("Penstock-Accepted is %.40q", value)
			}
		case bytes.EqualFold(name, []byte("Retry-After")):
			// A date is not understood; the caller's own back-off holds then.
			if s, err := strconv.Atoi(string(value)); err == nil && s >= 0 {
				r.retryAfter = time.Duration(s) * time.Second
			}
		}
	}
	c.body = c.body[:0]
	switch {
	case r.status < 200 || r.status == 204 || r.status == 304:
	case chunked:
		err = c.readChunks(&r)
	case length >= 0:
		err = c.readBody(length, &r)
	default:
		keep = false // the body ends with the connection
		c.body, err = io.ReadAll(io.LimitReader(c.reader, maxResponseBody))
		r.bytes += len(c.body)
	}
	r.body = c.body
	return r, keep, err
}

// line lends the next line without its end.
func (c *client) line(r *response) ([]byte, error) {
	line, err := c.reader.ReadSlice('\n')
	r.bytes += len(line)
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

func (c *client) readBody(n int, r *response) error {
	if len(c.body)+n > maxResponseBody {
		return fmt.Errorf("the answer is larger than %d bytes", maxResponseBody)
	}
	from := len(c.body)
	c.body = append(c.body, make([]byte, n)...)
	_, err := io.ReadFull(c.reader, c.body[from:])
	r.bytes += n
	return err
}

func (c *client) readChunks(r *response) error {
	for {
		line, err := c.line(r)
		if err != nil {
			return err
		}
		size, _, _ := strings.Cut(string(line), ";")
		n, err := strconv.ParseUint(strings.TrimSpace(size), 16, 31)
		if err != nil {
			return fmt.Errorf("chunk size: %w", err)
		}
		if err := c.readBody(int(n), r); err != nil {
			return err
		}
		// The end of the chunk, or of the trailers, of which there are none.
		if _, err := c.line(r); err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
	}
}
