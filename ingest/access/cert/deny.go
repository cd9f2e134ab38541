package cert

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
)

// denied are the certificates that are not believed any more. It is read
// only once it is made.
type denied struct {
	serials      map[string]struct{} // big-endian bytes without leading zeros
	fingerprints map[[sha256.Size]byte]struct{}
}

// parseDenied reads a deny list: on each line serial:HEX or sha256:HEX, where
// colons between the digits do not count. # begins a comment. Every faulty
// line is an error: one that was overlooked would let somebody in.
func parseDenied(text []byte) (*denied, error) {
	d := &denied{serials: map[string]struct{}{}, fingerprints: map[[sha256.Size]byte]struct{}{}}
	n := 0
	for line := range bytes.Lines(text) {
		n++
		line, _, _ = bytes.Cut(line, []byte{'#'})
		entry := strings.TrimSpace(string(line))
		if entry == "" {
			continue
		}
		kind, digits, _ := strings.Cut(entry, ":")
		digits = strings.ReplaceAll(digits, ":", "")
		switch strings.ToLower(kind) {
		case "serial":
			serial, ok := new(big.Int).SetString(digits, 16)
			if !ok || serial.Sign() < 0 || digits == "" {
				return nil, fmt.Errorf("line %d: the serial number must be in hexadecimal digits", n)
			}
			d.serials[string(serial.Bytes())] = struct{}{}
		case "sha256":
			sum, err := hex.DecodeString(digits)
			if err != nil || len(sum) != sha256.Size {
				return nil, fmt.Errorf("line %d: the fingerprint must be %d hexadecimal digits", n, 2*sha256.Size)
			}
			d.fingerprints[[sha256.Size]byte(sum)] = struct{}{}
		default:
			return nil, fmt.Errorf("line %d: must be serial:HEX or sha256:HEX", n)
		}
	}
	return d, nil
}

// has reports whether a certificate is denied.
func (d *denied) has(c *x509.Certificate) bool {
	if len(d.serials)+len(d.fingerprints) == 0 {
		return false
	}
	if _, ok := d.serials[string(c.SerialNumber.Bytes())]; ok {
		return true
	}
	_, ok := d.fingerprints[sha256.Sum256(c.Raw)]
	return ok
}

func (d *denied) len() int { return len(d.serials) + len(d.fingerprints) }
