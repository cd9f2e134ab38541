package cert

import (
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxNameBytes bounds the names of a device and a tenant in a certificate.
const maxNameBytes = 128

// source is one of the places in which a certificate names its subject.
type source struct {
	values func(*x509.Certificate) []string
	name   string // of which characters a name in it is made: a regular expression
	fold   bool   // case makes no difference
}

// sources is read only. A name ends where the source's own separator stands,
// so that a pattern with two names has one meaning.
var sources = map[string]source{
	"cn":      {func(c *x509.Certificate) []string { return []string{c.Subject.CommonName} }, `[^/]+`, false},
	"san_dns": {func(c *x509.Certificate) []string { return c.DNSNames }, `[^.*]+`, true},
	"san_uri": {func(c *x509.Certificate) []string {
		var all []string
		for _, u := range c.URIs {
			all = append(all, u.String())
		}
		return all
	}, `[^/?#%]+`, false},
}

// pattern finds the names of device and tenant in a certificate.
type pattern struct {
	text           string
	values         func(*x509.Certificate) []string
	match          *regexp.Regexp
	device, tenant int // groups of match; tenant is 0 if there is none
}

// parsePattern reads a pattern such as san_dns:{device}.devices.example.org.
// It returns nil for the empty one.
func parsePattern(text string) (*pattern, error) {
	if text == "" {
		return nil, nil
	}
	where, rest, _ := strings.Cut(text, ":")
	src, ok := sources[where]
	if !ok {
		return nil, fmt.Errorf("must begin with cn:, san_dns: or san_uri:, got %q", text)
	}
	if strings.Count(rest, "{device}") != 1 || strings.Count(rest, "{tenant}") > 1 {
		return nil, fmt.Errorf("must have {device} once, and {tenant} at most once, got %q", text)
	}
	if strings.Contains(rest, "}{") {
		return nil, fmt.Errorf("needs something between the two names, got %q", text)
	}
	expr := regexp.QuoteMeta(rest)
	for _, name := range []string{"device", "tenant"} {
		expr = strings.Replace(expr, `\{`+name+`\}`, `(?P<`+name+`>`+src.name+`)`, 1)
	}
	flags := ""
	if src.fold {
		flags = "(?i)"
	}
	match, err := regexp.Compile(flags + "^" + expr + "$")
	if err != nil {
		return nil, fmt.Errorf("is not a pattern: %q", text)
	}
	p := &pattern{text: text, values: src.values, match: match, device: match.SubexpIndex("device")}
	p.tenant = max(match.SubexpIndex("tenant"), 0)
	return p, nil
}

// names returns the device and the tenant that a certificate names.
func (p *pattern) names(c *x509.Certificate) (device, tenant string, err error) {
	found := false
	for _, value := range p.values(c) {
		m := p.match.FindStringSubmatch(value)
		if m == nil {
			continue
		}
		d, t := m[p.device], ""
		if p.tenant > 0 {
			t = m[p.tenant]
		}
		if found && (d != device || t != tenant) {
			return "", "", errors.New("the certificate names several devices")
		}
		device, tenant, found = d, t, true
	}
	if !found {
		return "", "", fmt.Errorf("the certificate names no device: nothing in it is like %s", p.text)
	}
	for _, name := range []string{device, tenant} {
		if len(name) > maxNameBytes || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
			return "", "", fmt.Errorf("the certificate's name for the device or the tenant is longer than %d bytes, or not text", maxNameBytes)
		}
	}
	return device, tenant, nil
}
