package access

import (
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Config says who is let in. Its yaml section is "access". Without any source
// of keys everybody is let in, which is for loopback only.
type Config struct {
	// KeysFile is the file of keys.
	KeysFile string `yaml:"keys_file" default:"" help:"File of keys, one JSON object a line, which penstock key create writes. Only its owner may have access to it (0600). It is read again when it changes."`

	// Anonymous lets in who brings no key.
	Anonymous bool `yaml:"anonymous" default:"false" help:"Devices without a key are let in, as nobody: they may send as any device, and name no tenant. A key that is brought none the less must be valid. Needed to listen beyond loopback without keys."`

	// TenantTag is the name of the tag that tells the tenant.
	TenantTag string `yaml:"tenant_tag" default:"tenant" help:"Name of the tag that each event gets with the tenant of its sender's key. No device can set it."`

	// Operator says when the operator's listener asks for keys.
	Operator string `yaml:"operator" default:"auto" oneof:"auto keys open" help:"When the operator's listener asks for a key with a role: keys (always), open (never: whoever reaches it can read and change everything), or auto: as soon as there is a source of keys."`

	// OpenMetrics opens /metrics to everybody.
	OpenMetrics bool `yaml:"open_metrics" default:"false" help:"/metrics of the operator's listener needs no key, as clusters expect."`

	JWT JWT `yaml:"jwt" help:"JSON Web Tokens instead of keys, as Authorization: Bearer."`
}

// JWT says which tokens are believed, and what they may do.
type JWT struct {
	// Keys and KeysURL are where the issuer's public keys are.
	JWKSFile string `yaml:"jwks_file" default:"" help:"File with the issuer's public keys (JWKS). It is read again when it changes."`
	JWKSURL  string `yaml:"jwks_url" default:"" help:"URL of the issuer's public keys (JWKS), https. They are fetched again every refresh, and at once, though not more than once a minute, for a token of a key that is not among them."`

	Refresh time.Duration `yaml:"refresh" default:"15m" help:"Time between two fetches of jwks_url. A key that its issuer has withdrawn counts for as long, and for cache more."`
	Cache   time.Duration `yaml:"cache" default:"30s" help:"How long a token that was checked is not checked again. 0 checks each request's, which costs a signature."`

	Issuer   string `yaml:"issuer" default:"" help:"The claim iss that a token must have."`
	Audience string `yaml:"audience" default:"" help:"What a token's claim aud must contain."`

	TenantClaim  string `yaml:"tenant_claim" default:"tenant" help:"Claim with the tenant: a string. A token need not have it."`
	DeviceClaim  string `yaml:"device_claim" default:"" help:"Claim with the one device that a token speaks for, such as sub."`
	DevicesClaim string `yaml:"devices_claim" default:"devices" help:"Claim with the devices that a token speaks for: a string or a list of them, in which * and ? are wildcards."`
	RoleClaim    string `yaml:"role_claim" default:"" help:"Claim with the role on the operator's listener: read, operate or admin. Empty gives tokens no role."`

	Leeway time.Duration `yaml:"leeway" default:"30s" help:"How far the issuer's clock may be off."`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{TenantTag: "tenant", Operator: operatorAuto, JWT: JWT{
		Refresh: 15 * time.Minute, Cache: 30 * time.Second, TenantClaim: "tenant", DevicesClaim: "devices", Leeway: 30 * time.Second,
	}}
}

// Values of Config.Operator.
const (
	operatorAuto = "auto"
	operatorKeys = "keys"
	operatorOpen = "open"
)

// Enabled reports whether there is a source of keys.
func (c Config) Enabled() bool { return c.KeysFile != "" || c.JWT.enabled() }

func (j JWT) enabled() bool { return j.JWKSFile != "" || j.JWKSURL != "" }

// OperatorNeedsKeys reports whether the operator's listener asks for keys.
func (c Config) OperatorNeedsKeys() bool {
	return c.Operator == operatorKeys || c.Operator == operatorAuto && c.Enabled()
}

// OperatorIsOpen reports whether it was said that the operator's listener asks
// for no keys.
func (c Config) OperatorIsOpen() bool { return c.Operator == operatorOpen }

var tagName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Validate returns all faults of the settings, joined.
func (c Config) Validate() error {
	var errs []error
	fault := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	fault(!tagName.MatchString(c.TenantTag) || len(c.TenantTag) > 128 || c.TenantTag == "device",
		"tenant_tag: must be the name of a tag other than device, got %q", c.TenantTag)
	fault(c.Operator != operatorAuto && c.Operator != operatorKeys && c.Operator != operatorOpen,
		"operator: must be auto, keys or open, got %q", c.Operator)
	fault(c.Operator == operatorKeys && !c.Enabled(), "operator: keys needs a source of keys; set access.keys_file")
	j := c.JWT
	fault(j.JWKSFile != "" && j.JWKSURL != "", "jwt.jwks_url: there is jwt.jwks_file already; set one of the two")
	if j.enabled() {
		fault(j.Issuer == "", "jwt.issuer: must be set, or tokens of any service with the same keys would be believed")
		fault(j.Audience == "", "jwt.audience: must be set, or tokens that were made for another service would be believed")
		fault(j.DeviceClaim == "" && j.DevicesClaim == "" && j.RoleClaim == "", "jwt.devices_claim: without device_claim, devices_claim and role_claim no token allows anything")
	}
	if j.JWKSURL != "" {
		fault(!secureURL(j.JWKSURL), "jwt.jwks_url: must be https://..., or http:// on loopback, because whoever can change the keys on their way can make tokens")
	}
	fault(j.Refresh < time.Second, "jwt.refresh: must be at least 1s, got %s", j.Refresh)
	fault(j.Cache < 0 || j.Cache > time.Hour, "jwt.cache: must be between 0 and 1h, got %s", j.Cache)
	fault(j.Leeway < 0 || j.Leeway > 10*time.Minute, "jwt.leeway: must be between 0 and 10m, got %s", j.Leeway)
	return errors.Join(errs...)
}
