package httpapi

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"

	"github.com/valyala/fasthttp"
)

// Network is a network of IP addresses, or a single one. In text it is
// 10.0.0.0/8, 2001:db8::/32 or 192.0.2.1.
type Network struct{ netip.Prefix }

// UnmarshalText reads a network.
func (n *Network) UnmarshalText(text []byte) error {
	if addr, err := netip.ParseAddr(string(text)); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		n.Prefix = netip.PrefixFrom(addr, addr.BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(string(text))
	if err != nil || p.Addr().Is4In6() {
		return fmt.Errorf("must be an IP address or a network such as 10.0.0.0/8, got %q", text)
	}
	n.Prefix = p.Masked()
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (n Network) MarshalText() ([]byte, error) { return n.Prefix.MarshalText() }

// trusts reports whether addr is a trusted proxy's.
func (c *Config) trusts(addr netip.Addr) bool {
	return slices.ContainsFunc(c.TrustedProxies, func(n Network) bool { return n.Contains(addr) })
}

// clientOf returns the address on whose behalf a request was sent, and whether
// a trusted proxy has named it in the request's header. It is invalid where
// the connection is not by IP.
func (s *Server) clientOf(ctx *fasthttp.RequestCtx) (addr netip.Addr, forwarded bool) {
	c := connOf(ctx.Conn())
	if c == nil {
		return netip.Addr{}, false
	}
	if !c.proxied {
		return c.peer, false
	}
	return s.cfg.forwardedFor(ctx.Request.Header.PeekAll(fasthttp.HeaderXForwardedFor), c.peer)
}

// forwardedFor returns the last address in X-Forwarded-For that is not a
// trusted proxy's: each proxy appends whom it has the request from, so what
// stands before that one was written by the client, who may write anything.
// Where something else than an address stands there, or nothing, the proxy
// itself is the client.
func (c *Config) forwardedFor(fields [][]byte, proxy netip.Addr) (addr netip.Addr, forwarded bool) {
	for _, field := range slices.Backward(fields) {
		for more := true; more; {
			var last []byte
			if i := bytes.LastIndexByte(field, ','); i >= 0 {
				field, last = field[:i], field[i+1:]
			} else {
				last, more = field, false
			}
			addr, ok := forwardedAddr(bytes.TrimSpace(last))
			if !ok {
				return proxy, false
			}
			if !c.trusts(addr) {
				return addr, true
			}
			proxy = addr
		}
	}
	return proxy, false
}

// forwardedAddr reads an element of X-Forwarded-For: an address, which some
// proxies write with a port.
func forwardedAddr(text []byte) (netip.Addr, bool) {
	if len(text) > 64 {
		return netip.Addr{}, false
	}
	if addr, err := netip.ParseAddr(string(text)); err == nil {
		return addr.Unmap().WithZone(""), true
	}
	if at, err := netip.ParseAddrPort(string(text)); err == nil {
		return at.Addr().Unmap().WithZone(""), true
	}
	addr, err := netip.ParseAddr(string(bytes.Trim(text, "[]")))
	return addr.Unmap().WithZone(""), err == nil
}
