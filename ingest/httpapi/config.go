package httpapi

import (
	"time"

	"github.com/penstock-io/penstock/internal/settings"
)

// Config bounds what devices can take of the process. Its yaml section is
// "http". There is no "unlimited": a listener that faces a fleet has none to
// give, so zero is an error except where a field says otherwise.
type Config struct {
	// ReadTimeout is the time in which a whole request, header and body, must
	// have arrived; it also bounds how long a new connection may stay silent.
	// Default 30s.
	ReadTimeout time.Duration `yaml:"read_timeout" default:"30s" min:"1ms" help:"Time in which a whole request must have arrived."`

	// IdleTimeout is how long a connection may stay open between two requests.
	// Default 2m, so that a device that reports once a minute keeps its
	// connection.
	IdleTimeout time.Duration `yaml:"idle_timeout" default:"2m" min:"1ms" help:"Time that a connection may stay open between two requests."`

	// WriteTimeout is the time in which the client must have taken an answer.
	// Default 10s.
	WriteTimeout time.Duration `yaml:"write_timeout" default:"10s" min:"1ms" help:"Time in which the client must have taken an answer."`

	// MaxBodyBytes bounds a request's body as it is on the wire, in bytes.
	// Default 4 MiB.
	MaxBodyBytes int64 `yaml:"max_body_bytes" unit:"bytes" default:"4MiB" min:"1" max:"1GiB" help:"Limit of a request's body on the wire."`

	// MaxDecompressedBytes bounds a body after decompression, in bytes. It is
	// at least MaxBodyBytes. Default 32 MiB.
	MaxDecompressedBytes int64 `yaml:"max_decompressed_bytes" unit:"bytes" default:"32MiB" max:"1GiB" help:"Limit of a request's body after decompression."`

	// MaxHeaderBytes bounds the request line and the header fields, in bytes.
	// Each open connection holds a buffer of this size. Default 8 KiB.
	MaxHeaderBytes int64 `yaml:"max_header_bytes" unit:"bytes" default:"8KiB" min:"1KiB" max:"1MiB" help:"Limit of a request's header; each connection holds a buffer of this size."`

	// MaxConnections bounds the connections that are served at once. Further
	// ones are answered 503 and closed. Default 10000.
	MaxConnections int `yaml:"max_connections" default:"10000" min:"1" help:"Number of connections that are served at once."`

	// MaxConnectionsPerIP bounds the connections from one address: an IPv4
	// address, or a /64 of IPv6, which is what one customer is given. Further
	// ones are answered 429 and closed. Zero means no limit per address, as
	// behind a proxy that brings all devices. Default 1000.
	MaxConnectionsPerIP int `yaml:"max_connections_per_ip" default:"1000" zero:"no limit per address" min:"0" help:"Number of connections from one IPv4 address or IPv6 /64."`

	// MaxInflightBytes bounds the memory of all bodies that are being read,
	// decompressed, decoded or acknowledged at once, in bytes. A request that
	// finds none left is answered 503. Default 256 MiB.
	MaxInflightBytes int64 `yaml:"max_inflight_bytes" unit:"bytes" default:"256MiB" help:"Limit of the memory of all requests being read, decompressed, decoded or acknowledged."`

	// RetryAfterMin and RetryAfterMax bound the Retry-After of a 429 or 503,
	// which is drawn between them so that a fleet does not come back as one.
	// It is rounded up to whole seconds. Defaults 1s and 10s.
	RetryAfterMin time.Duration `yaml:"retry_after_min" default:"1s" min:"1s" help:"Least Retry-After of a 429 or 503."`
	RetryAfterMax time.Duration `yaml:"retry_after_max" default:"10s" max:"1h" help:"Greatest Retry-After of a 429 or 503; the value sent is random between the two."`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return settings.Default[Config]() }

// Check notes what no tag says.
func (c Config) Check(f *settings.Faults) {
	if c.MaxDecompressedBytes < c.MaxBodyBytes {
		f.Add("max_decompressed_bytes", "must be at least max_body_bytes (%s), got %s",
			settings.Size(c.MaxBodyBytes), settings.Size(c.MaxDecompressedBytes))
	}
	if least := c.leastInflight(); c.MaxInflightBytes < least {
		f.Add("max_inflight_bytes", "must be at least max_body_bytes + 2 * max_decompressed_bytes (%s), "+
			"or the largest request could never be taken, got %s", settings.Size(least), settings.Size(c.MaxInflightBytes))
	}
	if c.RetryAfterMax < c.RetryAfterMin {
		f.Add("retry_after_max", "must be at least retry_after_min (%s), got %s", c.RetryAfterMin, c.RetryAfterMax)
	}
}

// leastInflight is what one request of the greatest size may hold: the body
// on the wire, and the decompressed one, whose buffer grows by doubling.
func (c Config) leastInflight() int64 { return c.MaxBodyBytes + 2*c.MaxDecompressedBytes }
