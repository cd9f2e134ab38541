package httpapi

import (
	"errors"
	"fmt"
	"time"
)

// Config bounds what devices can take of the process. Its yaml section is
// "http". There is no "unlimited": a listener that faces a fleet has none to
// give, so zero is an error except where a field says otherwise.
type Config struct {
	// ReadTimeout is the time in which a whole request, header and body, must
	// have arrived; it also bounds how long a new connection may stay silent.
	// Default 30s.
	ReadTimeout time.Duration `yaml:"read_timeout" help:"Time (duration) in which a whole request must have arrived." default:"30s"`

	// IdleTimeout is how long a connection may stay open between two requests.
	// Default 2m, so that a device that reports once a minute keeps its
	// connection.
	IdleTimeout time.Duration `yaml:"idle_timeout" help:"Time (duration) that a connection may stay open between two requests." default:"2m"`

	// HandshakeTimeout is the time in which a new connection must have told
	// what comes before its first request: the header of a proxy, and the TLS
	// handshake. Default 10s.
	HandshakeTimeout time.Duration `yaml:"handshake_timeout" help:"Time (duration) in which a TLS handshake, and a PROXY header before it, must have ended." default:"10s"`

	// WriteTimeout is the time in which the client must have taken an answer.
	// Default 10s.
	WriteTimeout time.Duration `yaml:"write_timeout" help:"Time (duration) in which the client must have taken an answer." default:"10s"`

	// MaxBodyBytes bounds a request's body as it is on the wire, in bytes.
	// Default 4 MiB.
	MaxBodyBytes int64 `yaml:"max_body_bytes" help:"Limit of a request's body on the wire, in bytes." default:"4194304" unit:"bytes"`

	// MaxDecompressedBytes bounds a body after decompression, in bytes. It is
	// at least MaxBodyBytes. Default 32 MiB.
	MaxDecompressedBytes int64 `yaml:"max_decompressed_bytes" help:"Limit of a request's body after decompression, in bytes." default:"33554432" unit:"bytes"`

	// MaxHeaderBytes bounds the request line and the header fields, in bytes.
	// Each open connection holds a buffer of this size. Default 8 KiB.
	MaxHeaderBytes int64 `yaml:"max_header_bytes" help:"Limit of a request's header, in bytes; each connection holds a buffer of this size." default:"8192" unit:"bytes"`

	// MaxConnections bounds the connections that are served at once. Further
	// ones are answered 503 and closed. Default 10000.
	MaxConnections int `yaml:"max_connections" help:"Number of connections that are served at once." default:"10000"`

	// MaxConnectionsPerIP bounds the connections from one address: an IPv4
	// address, or a /64 of IPv6, which is what one customer is given. Further
	// ones are answered 429 and closed. Zero means no limit per address, as
	// behind a proxy that brings all devices. Default 1000.
	MaxConnectionsPerIP int `yaml:"max_connections_per_ip" help:"Number of connections from one IPv4 address or IPv6 /64; 0 means no limit per address." default:"1000"`

	// TrustedProxies are the addresses of those who may say on whose behalf
	// they send. The limits per address do not count their connections, but
	// whom they name. Empty trusts nobody.
	TrustedProxies []Network `yaml:"trusted_proxies" help:"Addresses or networks (10.0.0.0/8) of the balancers and proxies in front. What they say of a client's address is believed: in a PROXY header where proxy_protocol is true, else in X-Forwarded-For. From anybody else neither counts."`

	// ProxyProtocol makes each connection of a trusted proxy begin with a
	// header of the PROXY protocol, version 1 or 2. One without is closed.
	ProxyProtocol bool `yaml:"proxy_protocol" help:"true: each connection from trusted_proxies must begin with a header of the PROXY protocol, version 1 or 2." default:"false"`

	// MaxInflightBytes bounds the memory of all bodies that are being read,
	// decompressed, decoded or acknowledged at once, in bytes. A request that
	// finds none left is answered 503. Default 256 MiB.
	MaxInflightBytes int64 `yaml:"max_inflight_bytes" help:"Limit of the memory of all requests being read, decompressed, decoded or acknowledged, in bytes." default:"268435456" unit:"bytes"`

	// RetryAfterMin and RetryAfterMax bound the Retry-After of a 429 or 503,
	// which is drawn between them so that a fleet does not come back as one.
	// It is rounded up to whole seconds. Defaults 1s and 10s.
	RetryAfterMin time.Duration `yaml:"retry_after_min" help:"Least Retry-After (duration) of a 429 or 503." default:"1s"`
	RetryAfterMax time.Duration `yaml:"retry_after_max" help:"Greatest Retry-After (duration) of a 429 or 503; the value sent is random between the two." default:"10s"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		ReadTimeout:          30 * time.Second,
		IdleTimeout:          2 * time.Minute,
		HandshakeTimeout:     10 * time.Second,
		WriteTimeout:         10 * time.Second,
		MaxBodyBytes:         4 << 20,
		MaxDecompressedBytes: 32 << 20,
		MaxHeaderBytes:       8 << 10,
		MaxConnections:       10_000,
		MaxConnectionsPerIP:  1_000,
		MaxInflightBytes:     256 << 20,
		RetryAfterMin:        time.Second,
		RetryAfterMax:        10 * time.Second,
	}
}

// Validate reports everything that is wrong with c, each fault under its
// yaml key.
func (c Config) Validate() error {
	var errs []error
	fault := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	fault(c.ReadTimeout <= 0, "read_timeout: must be positive, is %s", c.ReadTimeout)
	fault(c.IdleTimeout <= 0, "idle_timeout: must be positive, is %s", c.IdleTimeout)
	fault(c.HandshakeTimeout <= 0, "handshake_timeout: must be positive, is %s", c.HandshakeTimeout)
	fault(c.ProxyProtocol && len(c.TrustedProxies) == 0,
		"proxy_protocol: needs trusted_proxies, the addresses from which a PROXY header is believed")
	fault(c.WriteTimeout <= 0, "write_timeout: must be positive, is %s", c.WriteTimeout)
	fault(c.MaxBodyBytes < 1 || c.MaxBodyBytes > 1<<30,
		"max_body_bytes: must be between 1 and %d, is %d", 1<<30, c.MaxBodyBytes)
	fault(c.MaxDecompressedBytes < c.MaxBodyBytes || c.MaxDecompressedBytes > 1<<30,
		"max_decompressed_bytes: must be between max_body_bytes (%d) and %d, is %d",
		c.MaxBodyBytes, 1<<30, c.MaxDecompressedBytes)
	fault(c.MaxHeaderBytes < 1<<10 || c.MaxHeaderBytes > 1<<20,
		"max_header_bytes: must be between %d and %d, is %d", 1<<10, 1<<20, c.MaxHeaderBytes)
	fault(c.MaxConnections < 1, "max_connections: must be at least 1, is %d", c.MaxConnections)
	fault(c.MaxConnectionsPerIP < 0, "max_connections_per_ip: must not be negative, is %d", c.MaxConnectionsPerIP)
	fault(c.MaxInflightBytes < c.leastInflight(),
		"max_inflight_bytes: must be at least max_body_bytes + 2 * max_decompressed_bytes (%d), "+
			"or the largest request could never be taken, is %d", c.leastInflight(), c.MaxInflightBytes)
	fault(c.RetryAfterMin < time.Second, "retry_after_min: must be at least 1s, is %s", c.RetryAfterMin)
	fault(c.RetryAfterMax < c.RetryAfterMin || c.RetryAfterMax > time.Hour,
		"retry_after_max: must be between retry_after_min (%s) and 1h, is %s", c.RetryAfterMin, c.RetryAfterMax)
	return errors.Join(errs...)
}

// leastInflight is what one request of the greatest size may hold: the body
// on the wire, and the decompressed one, whose buffer grows by doubling.
func (c Config) leastInflight() int64 { return c.MaxBodyBytes + 2*c.MaxDecompressedBytes }
