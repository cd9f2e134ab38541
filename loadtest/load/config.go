// Package load drives a server with the reference work, in closed
// or open loop, and measures what comes back. It shares the machine
// with what it measures, so the path of a request allocates nothing and does
// one write and one read.
package load

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/penstock-io/penstock/loadtest/wire"
)

// Work is the shape of the load.
type Work struct {
	// Devices is the number of devices, at most wire.MaxDevices.
	Devices int
	// EventsPerPost is the number of events of a request, each of another
	// device. It divides Devices.
	EventsPerPost int
	// Connections is the number of connections, each with one request in
	// flight at a time.
	Connections int
}

// ReferenceWork returns R1, R2 or R3, the reference works.
func ReferenceWork(name string) (Work, error) {
	switch name {
	case "R1":
		return Work{Devices: 10_000, EventsPerPost: 100, Connections: 8}, nil
	case "R2":
		return Work{Devices: 100_000, EventsPerPost: 100, Connections: 8}, nil
	case "R3":
		return Work{Devices: 10_000, EventsPerPost: 1, Connections: 64}, nil
	}
	return Work{}, fmt.Errorf("no such work: %q", name)
}

// Config says what Run does.
type Config struct {
	Work

	// URL is the server, by http. Without a path, that of the format is used.
	URL string
	// Format is the form of the bodies.
	Format wire.Format
	// Encoding is none, gzip or zstd; empty means none.
	Encoding string
	// Header has further header lines, such as "Authorization: Bearer x".
	Header []string

	// Duration is how long requests are sent, warm-up included.
	Duration time.Duration
	// Warmup is the part of Duration that rate and percentiles leave out.
	Warmup time.Duration
	// Passes ends a closed loop earlier: when each device has sent that many
	// events. Zero means that Duration alone decides.
	Passes int
	// Rate is the number of events per second that an open loop schedules.
	// Zero means a closed loop: each connection sends as soon as it has its
	// answer.
	Rate float64
	// Timeout is that of a request; zero means 10 seconds.
	Timeout time.Duration
	// Seed selects the values; see wire.Readings.
	Seed uint64

	// Resend makes a request be sent again, the same to the byte, until it is
	// answered by a 2xx or a refusal for good, as devices do; Retry-After is
	// honoured. Without it, what fails is counted, and the next request
	// follows.
	Resend bool

	// Record takes the record of acknowledged requests; nil means none. The
	// format is described in record.go.
	Record io.Writer
	// Progress is called each second from a goroutine of Run; nil means never.
	Progress func(Tick)
}

// validate fills in what zero stands for and reports all faults.
func (c Config) validate() (Config, *url.URL, error) {
	var errs []error
	target, err := url.Parse(c.URL)
	switch {
	case err != nil:
		errs = append(errs, fmt.Errorf("url: %w", err))
		target = &url.URL{}
	case target.Scheme != "http" || target.Hostname() == "":
		errs = append(errs, fmt.Errorf("url: must be http://HOST:PORT, got %q", c.URL))
	}
	if c.Format.ContentType() == "" {
		errs = append(errs, fmt.Errorf("format: unknown: %q", string(c.Format)))
	} else if target.Path == "" || target.Path == "/" {
		path, err := url.Parse(c.Format.Path())
		if err != nil {
			errs = append(errs, err)
		} else {
			target.Path = path.Path
			if target.RawQuery == "" {
				target.RawQuery = path.RawQuery
			}
		}
	}
	if c.Encoding == "" {
		c.Encoding = "none"
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Devices < 1 || c.Devices > wire.MaxDevices {
		errs = append(errs, fmt.Errorf("devices: must be 1 to %d, got %d", wire.MaxDevices, c.Devices))
	}
	if c.EventsPerPost < 1 || c.Devices%max(c.EventsPerPost, 1) != 0 {
		errs = append(errs, fmt.Errorf("events-per-post: must divide devices (%d), got %d", c.Devices, c.EventsPerPost))
	} else if groups := c.Devices / c.EventsPerPost; c.Connections < 1 || c.Connections > groups {
		errs = append(errs, fmt.Errorf("connections: must be 1 to devices/events-per-post (%d), got %d", groups, c.Connections))
	}
	if c.Duration <= 0 || c.Warmup < 0 || c.Warmup >= c.Duration {
		errs = append(errs, fmt.Errorf("duration: must be positive and longer than the warm-up, got %s and %s", c.Duration, c.Warmup))
	}
	if c.Rate < 0 {
		errs = append(errs, fmt.Errorf("rate: must not be negative, got %v", c.Rate))
	}
	if c.Passes < 0 || c.Passes > 0 && c.Rate > 0 {
		errs = append(errs, fmt.Errorf("passes: must not be negative, and is for closed loops only, got %d", c.Passes))
	}
	return c, target, errors.Join(errs...)
}
